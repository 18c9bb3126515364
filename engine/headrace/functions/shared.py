"""Shared: what the functions of one app have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.functions.injection import Providers
from headrace.functions.middleware import Middleware
from headrace.functions.models import EventModels


class Shared:
    """The logger, the middleware, the models of events, and what is injected into functions.

    An app fills it while its module is read, so functions hold it as it is and not as it was when they were declared.
    """

    __slots__ = ("logger", "middleware", "models", "providers")

    def __init__(self, logger: Any = None, middleware: Sequence[Middleware] = ()) -> None:
        self.logger = logger  # what ctx.logger writes to, or None for the engine's own
        self.middleware = tuple(middleware)
        self.models = EventModels()
        self.providers = Providers()
