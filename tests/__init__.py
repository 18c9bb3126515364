"""The tests; they mirror `engine/headrace`, and CONTRIBUTING.md says how they are written.

A package, so that `tests.simulation` and the like are these and not a stranger's `tests` from site-packages.
"""
