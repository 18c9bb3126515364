"""Everything that can go wrong, named after what to do next.

    HeadraceError
      BadRecord          the sender's fault: to the dead-letter topic, go on
      BadRequest         the caller's fault: answered with the reason, nothing is stored
      BadDeclaration     the user's fault, at start-up: nothing starts
      OwnershipLost      another node has the partition: drop, let go
      StateCorrupted     wipe the local store, restore from the log
      LogUnavailable     wait with back-off, bounded and visible; nothing is lost
      NotReady           a setting, a lock or a topic is in the way: the operator must act first

A failing step is data, not an exception, outside `execution/`; what user code raises lives in `functions/errors.py`.
"""

from __future__ import annotations


class HeadraceError(Exception):
    """An error in four parts: `code`, `what` happened with its values, `why`, and what to `do` about it.

    `where` names the place in the user's own file ("app.py:12"), where there is one.
    """

    def __init__(self, code: str, what: str, *, why: str = "", do: str = "", where: str = "") -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.why = why
        self.do = do
        self.where = where

    def __str__(self) -> str:
        lines = [f"[{self.code}] {self.what}"]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.why:
            lines.append(f"  why:   {self.why}")
        if self.do:
            lines.append(f"  do:    {self.do}")
        return "\n".join(lines)


class BadRecord(HeadraceError):
    """A record nobody can use; it goes to the dead-letter topic with this reason."""


class BadRequest(HeadraceError):
    """A request refused as it stands; `status` is the HTTP status of the answer."""

    def __init__(
        self, code: str, what: str, *, status: int = 400, why: str = "", do: str = "", where: str = ""
    ) -> None:
        super().__init__(code, what, why=why, do=do, where=where)
        self.status = status


class BadDeclaration(HeadraceError):
    """A declaration (app, function, option, expression) that cannot work; raised before anything starts."""


class OwnershipLost(HeadraceError):
    """Another node has taken the partition; everything unhonoured is dropped."""


class StateCorrupted(HeadraceError):
    """The local store does not belong to the log; wipe it and restore."""


class LogUnavailable(HeadraceError):
    """Kafka cannot be reached or refuses; try again later, nothing is lost."""


class NotReady(HeadraceError):
    """The surroundings are not as they must be; an operator has to act before this can start."""
