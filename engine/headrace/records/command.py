"""Command: what all commands have in common."""

from __future__ import annotations

import msgspec


class Command(msgspec.Struct, array_like=True, gc=False, tag_field="t"):
    """What a partition is asked to do."""
