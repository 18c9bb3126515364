"""Where the world is touched: Kafka, RocksDB, the clock, HTTP clients, the embedded broker; and their in-memory twins.

In:    what the worker asks for through the seams of `seams.py`.
Out:   call-backs on the node's loop thread, and only there: threads never leave this room.
Rules: a twin behaves as the real one does, faults included; one body of tests in tests/contracts runs on both.
"""
