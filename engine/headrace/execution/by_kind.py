"""ByKind: code of this process, and functions of SDKs, as one place where user code runs."""

from __future__ import annotations

from collections.abc import Callable

from headrace.execution.in_process import InProcess
from headrace.execution.sdk.sdk_execution import SdkExecution
from headrace.execution.seams import Owner
from headrace.records.rows import Run, Step


class ByKind:
    """Hands each run to where its function's code is."""

    def __init__(self, in_process: InProcess, sdk: SdkExecution) -> None:
        self._in_process = in_process
        self._sdk = sdk

    @property
    def full(self) -> bool:
        """Whether no more events should be taken for now."""
        return self._in_process.full or self._sdk.full

    def start(self, owner: Owner, run_id: str, run: Run, steps: dict[bytes, Step]) -> None:
        """Begin the code of a run, or have it go on."""
        in_process, sdk = self._in_process, self._sdk
        if run.function_id not in in_process.functions and sdk.definition(run.function_id) is not None:
            sdk.start(owner, run_id, run, steps)
        else:
            in_process.start(owner, run_id, run, steps)

    def resolve(self, owner: Owner, run_id: str, step: bytes, row: Step) -> None:
        """Tell a run what became of a step."""
        in_process, sdk = self._in_process, self._sdk
        if sdk.alive(owner, run_id):
            sdk.resolve(owner, run_id, step, row)
        elif not sdk.used or in_process.alive(owner, run_id):
            in_process.resolve(owner, run_id, step, row)
        else:
            loaded = owner.load(run_id)
            known = None if loaded is None else loaded[0].function_id
            if known is None or known in in_process.functions or sdk.definition(known) is None:
                in_process.resolve(owner, run_id, step, row)
            else:
                sdk.resolve(owner, run_id, step, row)

    def stop(self, owner: Owner, run_id: str) -> None:
        """Interrupt the code of a run that has ended."""
        self._in_process.stop(owner, run_id)
        self._sdk.stop(owner, run_id)

    def drain(self, owner: Owner, done: Callable[[], None], within_ms: int) -> None:
        """Start nothing, let what executes finish, cancel the rest, then call `done`."""
        left = 2

        def one_done() -> None:
            nonlocal left
            left -= 1
            if not left:
                done()

        self._in_process.drain(owner, one_done, within_ms)
        self._sdk.drain(owner, one_done, within_ms)

    def drop(self, owner: Owner) -> None:
        """Cancel everything of an owner at once."""
        self._in_process.drop(owner)
        self._sdk.drop(owner)
