"""What happened, for people and programs: a projection of the history into SQLite, the REST API, the pages, metrics.

In:    records of the history, events, dead-letter and functions topics; HTTP requests; what the node says of itself
       through `status.py`.
Out:   rows in one SQLite file (a cache of the topics: losing it loses nothing), JSON and HTML answers, and the few
       commands people give (cancel a run), through callables that the node injects.
Rules: nothing here decides anything about a run. The projection runs in a process of its own, at the lowest priority,
       and everything it shows says how far behind it is. Whatever came from outside is escaped on every page. Host and
       Origin are checked on every request; beyond loopback every request needs a key.
"""
