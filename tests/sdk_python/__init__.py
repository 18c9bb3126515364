"""What users of the Python SDK rely on, from `app.function` to the end of a run, on the real machine in memory.

Runs twice: as it is, where every function is dropped from memory at each step boundary and replayed from its record,
and with HEADRACE_EVICT=never, where its code stays. So a test may count how often a step's callable ran, and never how
often a body did.
"""
