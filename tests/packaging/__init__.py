"""What a stranger gets: the archives that are published, and what is installed from them.

In: the repository as it is. Out: a wheel and an sdist, looked into and installed into empty environments.
Rules: nothing of the working copy is reachable from there (other folder, no PYTHONPATH); all of it is slow.
"""
