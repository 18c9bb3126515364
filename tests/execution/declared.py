"""Functions for the tests of this room, declared without an app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.functions import Function, declare_function


def function(call: Callable[..., Any], function_id: str = "f", **options: Any) -> Function:
    """Declare a function of the app "shop" on order/created."""
    options.setdefault("trigger", "order/created")
    return declare_function("shop", function_id, call, options)[0]
