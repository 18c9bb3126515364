"""Gathering: the buffer of a batch, from its first event until it fires."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headrace.admission.keys import bucket_prefix, function_of
from headrace.admission.plan import StageNumber
from headrace.admission.verdicts import answer_dropped, let_go
from headrace.records.admission_rows import Buffer, Chunk
from headrace.records.history import Kind
from headrace.records.rows import KnownEvent, Reply, Start, Timer, TimerKind, timer_key
from headrace.state import State, Turn

CHUNK_BYTES_MAX = 256 << 10


def begin(turn: Turn, bucket: bytes, buffer: Buffer, start: Start, timeout_ms: int) -> None:
    """Begin to gather: the first event's start is the batch's, and its arrival says when time is over."""
    buffer.start = Start(start.function_id, start.run_id, [], start.accepted_ms, start.stage, start.quiet)
    buffer.start.priority_ms = start.priority_ms
    buffer.due_ms = due_ms = turn.now_ms + timeout_ms
    if buffer.timer_ms and buffer.timer_ms <= due_ms:
        return  # the timer of a batch that fired by its size: it will find this one, and wait on for it
    if buffer.timer_ms:
        turn.state.timers.delete(_timer_key(bucket, buffer.timer_ms))
    _set_timer(turn, bucket, buffer)


def append(
    turn: Turn, bucket: bytes, buffer: Buffer, replies: Sequence[Reply], events: list[KnownEvent], size: int
) -> None:
    """Add events of so many bytes to the chunk of this turn; the buffer's row is put by the caller."""
    chunks = turn.state.admission.chunks
    chunk = None
    if buffer.turn == turn.number and buffer.chunk_size < CHUNK_BYTES_MAX:
        chunk = chunks.get(_chunk_key(bucket, buffer.last_chunk))
    if chunk is None:
        buffer.turn = turn.number
        buffer.last_chunk += 1
        buffer.chunk_size = 0
        chunk = Chunk(events[:])
        chunks.put(_chunk_key(bucket, buffer.last_chunk), chunk)
    else:
        # It was put in this very turn, which encodes it at its end.
        chunk.events += events
    for reply in replies:
        chunk.replies.append((len(chunk.events) - 1, reply))
    buffer.count += len(events)
    buffer.size += size
    buffer.chunk_size += size


def fire(turn: Turn, bucket: bytes, buffer: Buffer) -> None:
    """Let the batch go on with all its events; the buffer is empty then, and its row is put by the caller."""
    start = buffer.start
    assert start is not None, "a buffer with events has the first one's start"
    chunks = turn.state.admission.chunks
    events: list[KnownEvent] = []
    replies: list[Reply] = []
    for number in range(buffer.first_chunk, buffer.last_chunk + 1):
        key = _chunk_key(bucket, number)
        chunk = chunks.get(key)
        if chunk is not None:
            events += chunk.events
            replies += [reply for _, reply in chunk.replies]
            chunks.delete(key)
    start.events, start.replies = events, replies
    start.accepted_ms = turn.now_ms  # the batch is what waits in queues from now on
    _empty(buffer)
    let_go(turn, start)


def _empty(buffer: Buffer) -> None:
    buffer.start = None
    buffer.count = buffer.size = buffer.chunk_size = 0
    buffer.first_chunk = buffer.last_chunk + 1
    buffer.turn = -1


def end_gathering(turn: Turn, timer: Timer, due_ms: int) -> None:
    """Fire what is due. A buffer that fired by its size is empty now and forgotten, or begun anew and waited for."""
    bucket = timer.step
    buffers = turn.state.admission.buffers
    buffer = buffers.get(bucket)
    if buffer is None or buffer.timer_ms != due_ms:
        return
    if buffer.count and buffer.due_ms > turn.now_ms:
        _set_timer(turn, bucket, buffer)
        buffers.put(bucket, buffer)
        return
    if buffer.count:
        fire(turn, bucket, buffer)
    buffers.delete(bucket)


def remove_gathered(
    turn: Turn, function_id: str, unwanted: Callable[[KnownEvent], bool], status: str, code: str, explanation: str
) -> int:
    """Remove events from the buffers of a function on this partition, with a verdict for each; return how many."""
    removed = 0
    buffers = turn.state.admission.buffers
    for bucket, buffer in buffers.scan(bucket_prefix(function_id, StageNumber.BATCH)):
        before = buffer.count
        for number in range(buffer.first_chunk, buffer.last_chunk + 1):
            gone = _remove_from_chunk(turn, buffer, _chunk_key(bucket, number), unwanted, explanation)
            if gone:
                turn.history(
                    Kind.EventVerdict,
                    "",
                    function_id,
                    event_ids=[event.id for event in gone],
                    status=status,
                    code=code,
                    explanation=explanation,
                )
        if buffer.count < before:
            removed += before - buffer.count
            if not buffer.count:
                _empty(buffer)  # its timer finds it so, and forgets it
            buffers.put(bucket, buffer)
    return removed


def _remove_from_chunk(
    turn: Turn, buffer: Buffer, key: bytes, unwanted: Callable[[KnownEvent], bool], explanation: str
) -> list[KnownEvent]:
    chunks = turn.state.admission.chunks
    chunk = chunks.get(key)
    if chunk is None or buffer.start is None:
        return []
    gone = {index for index, event in enumerate(chunk.events) if unwanted(event)}
    if not gone:
        return []
    kept = Chunk([])
    places: dict[int, int] = {}
    for index, event in enumerate(chunk.events):
        if index in gone:
            buffer.count -= 1
            buffer.size -= len(event.json) + len(event.key or b"")
        else:
            places[index] = len(kept.events)
            kept.events.append(event)
    for index, reply in chunk.replies:
        if index in gone:
            answer_dropped(turn, function_of(key), buffer.start.run_id, reply, explanation)
        else:
            kept.replies.append((places[index], reply))
    if kept.events:
        chunks.put(key, kept)
    else:
        chunks.delete(key)
    return [chunk.events[index] for index in sorted(gone)]


def count_gathered(state: State, function_id: str) -> int:
    """Count the events in the buffers of a function on this partition."""
    prefix = bucket_prefix(function_id, StageNumber.BATCH)
    return sum(buffer.count for _, buffer in state.admission.buffers.scan(prefix))


def _chunk_key(bucket: bytes, number: int) -> bytes:
    return bucket + number.to_bytes(8, "big")


def _timer_key(bucket: bytes, due_ms: int) -> bytes:
    return timer_key(due_ms, TimerKind.BATCH, step=bucket)


def _set_timer(turn: Turn, bucket: bytes, buffer: Buffer) -> None:
    buffer.timer_ms = buffer.due_ms
    turn.state.timers.put(_timer_key(bucket, buffer.due_ms), Timer(TimerKind.BATCH, step=bucket))
