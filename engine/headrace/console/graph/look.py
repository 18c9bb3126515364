"""What the fields of one query are read from."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from graphql import GraphQLError

from headrace.console.catalog import Shown


@dataclass(frozen=True)
class Look:
    """The archive and what the cluster knows, as they are at one moment; `archive` is None behind a mutation."""

    archive: sqlite3.Connection | None
    shown: Shown
    now_ms: int

    @property
    def rows(self) -> sqlite3.Connection:
        """Give the archive."""
        if self.archive is None:
            raise GraphQLError("this field cannot be read behind a mutation: ask for it with a query")
        return self.archive
