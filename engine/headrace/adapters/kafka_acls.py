"""The rights that a node's user needs on a Kafka that checks them, for printing.

Source: the operations per request in Apache Kafka's documentation, "Authorization and ACLs".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Acl(NamedTuple):
    """One row: what may be done on which resource, and what for."""

    principal: str
    resource: str  # topic or group
    name: str
    pattern: str  # prefixed or literal
    operations: tuple[str, ...]
    why: str

    def command(self, bootstrap: str) -> str:
        """Return the command that gives this right."""
        operations = " ".join(f"--operation {operation}" for operation in self.operations)
        return (
            f"kafka-acls.sh --bootstrap-server {bootstrap} --add --allow-principal {self.principal} "
            f"{operations} --{self.resource} {self.name} --resource-pattern-type {self.pattern}"
        )


def required_acls(prefix: str, principal: str, source_topics: Iterable[str] = ()) -> tuple[Acl, ...]:
    """List the rights for the topics of a prefix, the group of its nodes, and the users' topics that are read."""
    own = f"{prefix}."
    return (
        Acl(principal, "topic", own, "prefixed", ("Describe", "DescribeConfigs"), "to check the topics at the start"),
        Acl(principal, "topic", own, "prefixed", ("Create",), "to create those that are missing"),
        Acl(principal, "topic", own, "prefixed", ("Read", "Write"), "to work (idempotent writes included)"),
        Acl(principal, "topic", own, "prefixed", ("Delete",), "to trim what has been consumed"),
        Acl(principal, "group", prefix, "prefixed", ("Read",), "to share out the partitions among the nodes"),
        *(
            Acl(principal, "topic", topic, "literal", ("Describe", "Read"), "to take its records as events")
            for topic in source_topics
        ),
    )
