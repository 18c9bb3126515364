"""Tests of the console; `asgi.py`, `histories.py` and `archives.py` hold what they share."""
