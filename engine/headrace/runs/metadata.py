"""Metadata: what others keep beside a run, for people to see."""

from __future__ import annotations

from headrace.records.commands import NoteMetadata
from headrace.records.history import Kind
from headrace.state import Turn


def note_metadata(turn: Turn, command: NoteMetadata) -> None:
    """Write it to the history, which is all there is of it: any partition can, and the run may have ended."""
    turn.history(
        Kind.RunMetadata,
        command.run_id,
        "",
        step_id=command.step_id,
        occurrence=command.occurrence,
        op=command.scope,
        attempt=command.attempt,
        output=command.updates,
        code=command.id,
    )
