"""The image pipeline: `app.py` is the workflow, `png.py` reads and writes pictures with the standard library alone."""
