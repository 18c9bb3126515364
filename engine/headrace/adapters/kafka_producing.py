"""One producer, the thread that polls it, and what is on its way through it.

librdkafka calls back once per record, on the thread that polls, and takes the interpreter for each call. So such a
call does next to nothing: an `Append` notes its offset, a `Batch` counts. What has ended is collected in a list, which
goes to the loop in one call per poll round. No closure per record: the callback is a method of the append or the batch.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from headrace.adapters.kafka_loop import ThreadsafeLoop, post
from headrace.adapters.seams import AppendReport, BatchReport, Outgoing

logger = logging.getLogger("headrace.kafka")

_POLL_S = 0.1


class Append:
    """One record on its way; librdkafka calls `take` when the record has landed or failed."""

    __slots__ = ("error", "key", "landed", "offset", "producing", "report")

    def __init__(self, report: AppendReport, key: tuple[str, int]) -> None:
        self.report = report
        self.key = key
        self.producing: Producing | None = None
        self.landed = False  # of the loop: it may still wait for the appends before it
        self.offset = -1
        self.error: str | None = None

    def take(self, error: KafkaError | None, message: Message) -> None:
        """Note what became of it, on the polling thread."""
        if error is None:
            offset = message.offset()
            if offset is None or offset < 0:
                self.error = "the broker told no offset"
            else:
                self.offset = offset
        else:
            self.error = error.str()
        assert self.producing is not None
        self.producing.ended.append(self)

    def fail(self, text: str) -> None:
        """Give up, on the loop."""
        self.offset = -1
        self.error = text

    def tell(self) -> None:
        """Report, on the loop."""
        self.report(self.offset, self.error)


class Batch:
    """Many records on their way under one report; librdkafka calls `take` once for each of them."""

    __slots__ = ("_failed", "_given_up", "_left", "_refused", "producing", "records", "report")

    def __init__(self, report: BatchReport, records: Sequence[Outgoing]) -> None:
        self.report = report
        self.records = records
        self.producing: Producing | None = None
        self._left = len(records)  # written by the polling thread only
        self._failed: list[Message] = []
        self._refused = len(records)  # the first that was refused without being sent; written by the loop only
        self._given_up = False

    def take(self, error: KafkaError | None, message: Message) -> None:
        """Count one record, on the polling thread."""
        if error is not None:
            self._failed.append(message)
        self._left -= 1
        if not self._left:
            assert self.producing is not None
            self.producing.ended.append(self)

    def refuse(self, index: int) -> None:
        """Note, on the loop, a record that could not even be queued; the count follows on the polling thread."""
        self._refused = min(self._refused, index)

    def count_refused(self) -> None:
        """Count a refused record, on the polling thread."""
        self._left -= 1
        if not self._left:
            assert self.producing is not None
            self.producing.ended.append(self)

    def fail(self, text: str) -> None:
        """Give up, on the loop."""
        self._given_up = True

    def tell(self) -> None:
        """Report, on the loop."""
        self.report(0 if self._given_up else self._first_failed())

    def _first_failed(self) -> int | None:
        first = self._refused
        for message in self._failed:
            # Which of the batch a failed record was is asked so rarely that it is found by its contents. Of several
            # equal ones it is the first: what lies before the answer is in the log, and that is what was asked.
            failed = (message.topic(), message.partition(), message.key(), message.value())
            for index, record in enumerate(self.records[:first]):
                if record[:4] == failed:
                    first = index
                    break
        return None if first == len(self.records) else first


class Producing:
    """One producer from its beginning to its end; `ended` and `fatal` are called on the loop."""

    def __init__(
        self,
        producer: Producer,
        loop: ThreadsafeLoop,
        ended: Callable[[Producing, list[Append | Batch]], None],
        fatal: Callable[[Producing, str], None],
        name: str,
    ) -> None:
        self.ended: list[Append | Batch] = []
        self.dead: str | None = None  # of the loop: why nothing more goes through here
        self._loop = loop
        self._tell_ended = ended
        self._tell_fatal = fatal
        self._refused: deque[Batch] = deque()
        self._stopping = False
        self._flush_s = 0.0
        self._fatal: str | None = None
        self._producer: Producer | None = producer
        self.produce = producer.produce
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def refuse(self, batch: Batch, index: int) -> None:
        """Count a record of a batch that could not be queued as failed; on the loop."""
        batch.refuse(index)
        self._refused.append(batch)

    def drop(self) -> None:
        """Throw away what is still queued and end, without waiting."""
        self._stopping = True

    def finish(self, timeout_s: float) -> None:
        """Send what is queued, for `timeout_s` at most, and end; blocks."""
        self._flush_s = timeout_s
        self._stopping = True
        self._thread.join(timeout_s + 5)

    def _run(self) -> None:
        producer = self._producer
        assert producer is not None
        while not self._stopping:
            self._poll(producer.poll, _POLL_S)
        if self._flush_s > 0:
            self._poll(producer.flush, self._flush_s)
        else:
            producer.purge(in_queue=True, in_flight=True, blocking=False)
            self._poll(producer.poll, 0)
        # The last reference: the client's own threads end here, and not on the loop.
        self._producer = None
        del self.produce

    def _poll(self, poll: Callable[[float], int], timeout_s: float) -> None:
        try:
            poll(timeout_s)
        except KafkaException as problem:
            # This is how the client tells of a fatal error; nothing it takes from now on will be sent.
            self._fatal = problem.args[0].str()
        except Exception as problem:
            # Without this thread nothing would ever be reported again.
            logger.exception("polling the producer has failed")
            self._fatal = repr(problem)
        self._hand_over()

    def _hand_over(self) -> None:
        while self._refused:
            self._refused.popleft().count_refused()
        if self.ended:
            ended, self.ended = self.ended, []
            if not post(self._loop, self._tell_ended, self, ended):
                self._stopping = True
        if self._fatal is not None:
            # Behind the reports that came in the same round.
            post(self._loop, self._tell_fatal, self, self._fatal)
            self._fatal = None
