"""The pages: each a function from what was found to HTML. No query and no request is made here, but in `routes.py`."""
