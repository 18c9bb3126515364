"""Drawn: chance that is the same whenever the code is replayed."""

from __future__ import annotations

import random
from hashlib import blake2b
from uuid import UUID


class Drawn:
    """Ids and random numbers of one body, or one attempt of a step: seeded by its name and the index of the call."""

    __slots__ = ("_calls", "_seed", "random")

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._calls = 0
        self.random = random.Random(blake2b(self._seed + b"\0random", digest_size=32).digest())

    def uuid(self) -> UUID:
        """Give the next id."""
        self._calls += 1
        digest = blake2b(self._seed + b"\0uuid\0%d" % self._calls, digest_size=16).digest()
        return UUID(bytes=digest, version=4)
