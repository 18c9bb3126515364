"""The limits of runs, as the environment or headrace.toml sets them; docs/limits.md publishes the defaults."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.errors import NotReady
from headrace.records.limits import DEFAULTS, RunLimits

# Variable → field of RunLimits, the least value, the greatest. A result travels in commands and commits, and a run's
# results are read whole when its code is started again.
_RANGES = {
    "HEADRACE_MAX_STEPS": ("steps", 1, 1_000_000),
    "HEADRACE_MAX_STEP_OUTPUT_BYTES": ("step_output_bytes", 1 << 10, 6 << 20),
    "HEADRACE_MAX_RUN_STATE_BYTES": ("run_state_bytes", 1 << 10, 1 << 30),
    "HEADRACE_MAX_SLEEP_MS": ("sleep_ms", 1_000, 100 * 366 * 24 * 3_600_000),
    "HEADRACE_MAX_STATE_VALUE_BYTES": ("keyed_value_bytes", 1 << 10, 6 << 20),
}


def read_run_limits(variables: Mapping[str, str]) -> RunLimits:
    """Read them; NotReady for what is no number, or out of reach."""
    found: dict[str, int] = {}
    for name, (field, least, most) in _RANGES.items():
        text = variables.get(name, "").replace("_", "").strip()
        if not text:
            continue
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else -1
        if not least <= number <= most:
            raise NotReady(
                "limit_invalid",
                f"{name} is {variables[name][:40]!r}",
                why=f"it is a whole number from {least} to {most}",
                do=f"set it, or leave it out for {getattr(DEFAULTS, field)}",
            )
        found[field] = number
    return RunLimits(**found)
