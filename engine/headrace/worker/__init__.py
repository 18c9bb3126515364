"""Owns partitions: turn, commit, claim, restore, snapshot, timers, outbox.

In:    records, due timers, results of executions, and what the group says about ownership.
Out:   commits on the changelog; and once a commit is honoured: rows in the store, records of the outbox, code to start.
Rules: one thread, no awaiting, nothing of the world but through the seams of `adapters/`; no output leaves before its
       commit is honoured (I4); the store may lag the changelog and never leads it (I2).

How the parts fit: `node.py` holds an `Ownership` for each partition that the group assigned; that one restores
(`restore.py`), claims, and then runs a `Machine` (`machine.py`) until the partition leaves or is fenced. The machine
applies inputs (`apply.py`) in turns (`turn.py`) over an `Overlay` (`overlay.py`) and hands what is due to leave to the
`Outbox` (`outbox.py`). `honour.py` says which records of a changelog count, for everybody.
"""
