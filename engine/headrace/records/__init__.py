"""The words written on topics and in the state: one class for each, and its codec.

In:    values of the engine, or bytes as they stood on a topic.
Out:   bytes, or values; `BadRecord` where a stranger's bytes are no good, `StateCorrupted` where our own are not.
Rules: pure; a class that strangers read has one file in schemas/; what only the engine reads is msgpack behind one
       format-version byte, and a newer unknown version is refused with a message that says so.
"""
