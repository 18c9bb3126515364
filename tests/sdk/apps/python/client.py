"""The client of the app, and how its functions are made: one for each case, started by the event `<app>/<case>`."""

import logging
import os
from collections.abc import Callable
from typing import Any

import inngest

APP = os.environ["APP_ID"]
client = inngest.Inngest(app_id=APP, is_production=False, logger=logging.getLogger("uvicorn"))
FUNCTIONS: list[inngest.Function[Any]] = []


def function(case: str, *triggers: inngest.TriggerEvent | inngest.TriggerCron, retries: int = 2, **options: Any) -> Any:
    """Make a function of a client as its users do, and serve it."""
    wanted = list(triggers) or [inngest.TriggerEvent(event=f"{APP}/{case}")]

    def made(code: Callable[..., Any]) -> inngest.Function[Any]:
        made = client.create_function(fn_id=case, trigger=wanted, retries=retries, **options)(code)
        FUNCTIONS.append(made)
        return made

    return made
