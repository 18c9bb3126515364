"""An asyncio event loop on virtual time: nothing sleeps, and three days pass as fast as their callbacks run.

Time stands still while anything can run, and jumps to the next timer when nothing can. Callbacks run in the order in
which they were scheduled, timers of one instant too, so the same program does the same thing every time. There are no
sockets, pipes or signals. User coroutines are ordinary tasks of it; it is driven from ordinary code:

    with VirtualLoop() as loop:
        task = loop.create_task(work())
        loop.advance(3 * 86_400)

Threads (`run_in_executor`, `asyncio.to_thread`) are real and take no virtual time: while one is at work, time waits
for it. A thread that in turn waits for the loop has to say so (see `rendezvous`), or both wait for ever.

An exception that a callback lets escape comes out of `advance()` and its like, unless an exception handler is set: a
test must not go on over a logged line. It costs about 1 µs a callback, a third of what the selector loop costs.
"""

from __future__ import annotations

import asyncio
import heapq
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context, copy_context
from math import inf
from types import TracebackType
from typing import Any, TypeAlias, TypeVar, TypeVarTuple

from headrace.adapters.virtual_loop_errors import nothing_to_come, refuse, spinning, stuck

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_CANCELLED_TIMERS_MIN = 100
# A callback and its arguments, without a handle and a context of its own.
Bare: TypeAlias = tuple[Callable[..., object], tuple[Any, ...]]


class Call:
    """A scheduled callback; the handle that `call_soon` and `call_later` return."""

    __slots__ = ("_args", "_callback", "_context", "_loop", "_when")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
        loop: VirtualLoop | None = None,
        when: float = 0.0,
    ) -> None:
        self._callback: Callable[..., object] | None = callback
        self._args = args
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._when = when

    def cancel(self) -> None:
        """Take it back; nothing happens if it has run."""
        if self._callback is not None:
            self._callback = None
            self._args = ()
            if self._loop is not None:
                self._loop._timer_cancelled()

    def cancelled(self) -> bool:
        """Tell whether it was taken back."""
        return self._callback is None

    def when(self) -> float:
        """Return the loop's time at which it is due."""
        return self._when


class VirtualLoop(asyncio.BaseEventLoop):
    """Run callbacks and tasks on virtual time, in seconds from `start`.

    `patience_s` is how long (in real seconds) it waits for a thread before it raises HeadraceError "thread_stuck";
    `rounds_max` how many rounds of callbacks may run in one instant before it raises "loop_spinning".
    """

    def __init__(self, start: float = 0.0, *, patience_s: float = 30.0, rounds_max: int = 1_000_000) -> None:
        super().__init__()
        self._now = start
        self._limit = inf
        self._driven = False
        self._until: Callable[[], bool] | None = None
        self._calls: deque[Call | Bare] = deque()
        self._timers: list[tuple[float, int, Call | Bare]] = []
        self._scheduled_count = 0
        self._cancelled_count = 0
        self._rounds = 0  # in this instant
        self._rounds_max = rounds_max
        self._patience_s = patience_s
        self._woken = threading.Event()
        self._working = 0  # threads, and what waits for one, without those that wait for the loop
        self._handler_set = False
        self._ended = False
        self._halted = False

    # --- what drives it -----------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Run everything that is due within the next `seconds`; afterwards that much time has passed."""
        until = self._now + seconds
        self._drive(until)
        self._now = max(self._now, until)

    def run_until_idle(self, seconds_max: float = inf) -> bool:
        """Run until nothing is scheduled any more; False if that takes longer than `seconds_max`."""
        self._drive(self._now + seconds_max)
        return not self._timers

    def run_until(self, condition: Callable[[], bool], seconds_max: float) -> bool:
        """Run until `condition()` holds, asked after every round of callbacks; False if not within `seconds_max`."""
        if condition():
            return True
        self._until = condition
        try:
            self._drive(self._now + seconds_max)
        finally:
            self._until = None
        return condition()

    def __enter__(self) -> VirtualLoop:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Cancel the tasks that are left, let them end, and close."""
        if self.is_closed():
            return
        try:
            tasks = asyncio.all_tasks(self)
            for task in tasks:
                task.cancel()
            if tasks:
                self.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self.run_until_complete(self.shutdown_asyncgens())
        finally:
            self.close()

    def _drive(self, limit: float) -> None:
        self._limit, self._driven = limit, True
        try:
            self.run_forever()
        finally:
            self._limit, self._driven = inf, False

    def run_forever(self) -> None:
        """Run until `stop()` is called, or nothing is left that could ever run (HeadraceError "loop_idle")."""
        self._rounds = 0
        try:
            super().run_forever()
        finally:
            self._halted = False

    def stop(self) -> None:
        """Stop running after this round of callbacks."""
        super().stop()
        self._halted = True

    # --- what asyncio asks of a loop ----------------------------------------------------------------------------

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._now

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Any:
        """Run a callback in the next round."""
        if self._ended:
            raise RuntimeError("Event loop is closed")
        call = Call(callback, args, context)
        self._calls.append(call)
        return call

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        """Run a callback after `delay` virtual seconds."""
        if self._ended:
            raise RuntimeError("Event loop is closed")
        when = self._now + delay
        call = Call(callback, args, context, self, when)
        self._scheduled_count += 1
        heapq.heappush(self._timers, (when, self._scheduled_count, call))
        return call

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        """Run a callback when the loop's time is `when`; those of one instant run in the order of these calls."""
        if self._ended:
            raise RuntimeError("Event loop is closed")
        call = Call(callback, args, context, self, when)
        self._scheduled_count += 1
        heapq.heappush(self._timers, (when, self._scheduled_count, call))
        return call

    def call_bare(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        """Run a callback after `delay` seconds, or in the next round: cheaper, but it cannot be taken back.

        It gets no context of its own, and what it lets escape is not given to an exception handler.
        """
        if delay > 0:
            self._scheduled_count += 1
            heapq.heappush(self._timers, (self._now + delay, self._scheduled_count, (callback, args)))
        else:
            self._calls.append((callback, args))

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        """Run a callback in the next round; any thread may call this."""
        if self._ended:
            raise RuntimeError("Event loop is closed")
        call = Call(callback, args, context)
        self._calls.append(call)
        self._woken.set()
        return call

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run a function on a thread; virtual time waits for it, unless its future is cancelled."""
        future = super().run_in_executor(executor, func, *args)
        self._working += 1
        future.add_done_callback(self._worked)
        return future

    async def shutdown_default_executor(self, *args: Any, **options: Any) -> None:
        """End the default executor's threads; virtual time waits for them."""
        self._working += 1
        try:
            await super().shutdown_default_executor(*args, **options)
        finally:
            self._working -= 1

    def set_exception_handler(self, handler: Any) -> None:
        """Give what callbacks let escape to a handler from now on; None: let it out of `advance()` again."""
        super().set_exception_handler(handler)
        self._handler_set = handler is not None

    def close(self) -> None:
        """Drop what is scheduled and close."""
        super().close()
        self._ended = True
        self._calls.clear()
        self._timers.clear()

    # --- what `rendezvous` tells --------------------------------------------------------------------------------

    def thread_waits(self) -> None:
        """Note that a thread of an executor waits for this loop from now on; any thread may call this."""
        self.call_soon_threadsafe(self._count_working, -1)

    def thread_goes_on(self) -> None:
        """Note, on the loop, that such a thread has been given what it waited for."""
        self._working += 1

    # --- inside -------------------------------------------------------------------------------------------------

    def _count_working(self, by: int) -> None:
        self._working += by

    def _worked(self, future: object) -> None:
        self._working -= 1

    def _timer_cancelled(self) -> None:
        self._cancelled_count += 1
        timers = self._timers
        if self._cancelled_count > _CANCELLED_TIMERS_MIN and self._cancelled_count * 2 > len(timers):
            timers[:] = [timer for timer in timers if isinstance(timer[2], tuple) or not timer[2].cancelled()]
            heapq.heapify(timers)
            self._cancelled_count = 0

    def _run_once(self) -> None:
        """Run rounds of callbacks until somebody stops the loop; every microsecond here is one of each callback."""
        calls, timers, pop = self._calls, self._timers, heapq.heappop
        while True:
            if not calls and not (timers and timers[0][0] <= self._now):
                self._pass_time()
            while timers and timers[0][0] <= self._now:
                timer = pop(timers)[2]
                if not isinstance(timer, tuple):
                    if timer.cancelled():
                        self._cancelled_count -= 1
                        continue
                    timer._loop = None
                calls.append(timer)
            for _ in range(len(calls)):
                call = calls.popleft()
                if isinstance(call, tuple):
                    call[0](*call[1])
                elif call._callback is not None:
                    self._run(call)
            self._rounds += 1
            if self._rounds > self._rounds_max and not self._working:
                raise spinning(self._now, self._rounds_max)
            if self._until is not None and self._until():
                self.stop()
            if self._halted:
                return

    def _run(self, call: Call) -> None:
        callback = call._callback
        assert callback is not None
        try:
            call._context.run(callback, *call._args)
        except Exception as error:
            if not self._handler_set:
                raise
            self.call_exception_handler({"message": f"Exception in {callback!r}", "exception": error})

    def _pass_time(self) -> None:
        """Nothing can run: wait for a thread, jump to the next timer, or end the drive."""
        self._rounds = 0
        while self._working > 0 and not self._calls:
            self._woken.clear()
            # Asked again: a call that came before the clearing must not be slept over.
            if not self._calls and not self._woken.wait(self._patience_s):
                raise stuck(self._working, self._patience_s)
        if self._calls:
            return
        timers = self._timers
        while timers:
            when, _, timer = timers[0]
            if isinstance(timer, tuple) or not timer.cancelled():
                break
            heapq.heappop(timers)
            self._cancelled_count -= 1
        if timers and when <= self._limit:
            self._now = when
        elif self._driven:
            self.stop()
        else:
            raise nothing_to_come()

    def _write_to_self(self) -> None:
        self._woken.set()

    def _process_events(self, event_list: object) -> None:
        pass


for _name in (
    *("create_connection", "create_server", "create_datagram_endpoint", "create_unix_connection", "create_unix_server"),
    *("sock_connect", "sock_accept", "sock_recv", "sock_sendall", "add_reader", "add_writer", "start_tls"),
    *("connect_read_pipe", "connect_write_pipe", "subprocess_exec", "subprocess_shell", "sendfile", "getaddrinfo"),
):
    setattr(VirtualLoop, _name, refuse(_name))
