"""Step ids: what may be one."""

from __future__ import annotations

from headrace.functions.errors import StepMisuse

STEP_ID_LENGTH_MAX = 256


def check_step_id(step_id: object) -> None:
    """Refuse what is no step id: a str of 1 to 256 characters, without NUL and lone surrogates.

    A step's name in the state is its id, NUL and its occurrence (`records.rows.step_name`), hence no NUL.
    """
    if type(step_id) is str and 0 < len(step_id) <= STEP_ID_LENGTH_MAX and "\0" not in step_id and _utf8(step_id):
        return
    shown = repr(step_id)
    raise StepMisuse(
        "step_id_invalid",
        f"a step was asked for with the id {shown if len(shown) < 120 else shown[:120] + '…'}",
        why=f"a step's id is what it is remembered by: a text of 1 to {STEP_ID_LENGTH_MAX} characters, without NUL",
        do='name the step, as in ctx.step.run("load-order", load_order, order_id)',
    )


def _utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
