"""Declaring with an App."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import headrace
from headrace import App, Context, OnEvent
from headrace.errors import BadDeclaration


def test_functions_are_kept_under_their_full_id_and_stay_what_they_are() -> None:
    app = App("shop")

    async def tell(ctx: Context) -> None: ...

    @app.function("process-order", trigger="order/created", name="Process an order", on_failure=tell)
    async def process(ctx: Context) -> str:
        return "called"

    assert list(app.functions) == ["shop-process-order", "shop-process-order-failure"]
    assert app.functions["shop-process-order"].call is process
    assert app.functions["shop-process-order"].definition.name == "Process an order"
    with pytest.raises(TypeError):
        app.functions["x"] = None  # type: ignore[index]


def test_an_id_is_declared_once() -> None:
    app = App("shop")

    @app.function("f", trigger="x")
    async def first(ctx: Context) -> None: ...

    async def second(ctx: Context) -> None: ...

    with pytest.raises(BadDeclaration) as caught:
        app.function("f", trigger="y")(second)
    assert caught.value.code == "function_id_twice"
    assert f"{__file__}:{first.__code__.co_firstlineno}" in caught.value.why
    assert caught.value.where == f"{__file__}:{second.__code__.co_firstlineno}"
    app.function("g", trigger="y", on_failure=second)(first)
    with pytest.raises(BadDeclaration):  # the id of another one's failure function
        app.function("g-failure", trigger="y")(first)
    assert app.functions["shop-f"].call is first


def test_a_mistake_names_the_place_the_reason_and_the_remedy() -> None:
    app = App("shop")

    async def process(ctx: Context) -> None: ...

    for options in ({"trigger": "ord*"}, {"trigger": OnEvent("x", if_="((")}, {"trigger": "x", "retires": 3}):
        with pytest.raises(BadDeclaration) as caught:
            app.function("f", **options)(process)
        text = str(caught.value)
        assert f"where: {__file__}:{process.__code__.co_firstlineno}" in text
        assert "why:" in text
        assert "do:" in text
    assert not app.functions


@pytest.mark.parametrize("option", ["history"])
def test_what_this_version_does_not_keep_is_refused(option: str) -> None:
    async def process(ctx: Context) -> None: ...

    options: dict[str, Any] = {"trigger": "x", option: 1}
    with pytest.raises(BadDeclaration) as caught:
        App("shop").function("f", **options)(process)
    assert caught.value.code == "option_not_available"


@pytest.mark.parametrize("app_id", ["", "my shop", None])
def test_ids_of_apps_are_checked(app_id: Any) -> None:
    with pytest.raises(BadDeclaration):
        App(app_id)


@pytest.mark.parametrize("url", ["localhost:8288", "ftp://x", "http://", "http://x?y"])
def test_urls_are_checked(url: str) -> None:
    with pytest.raises(BadDeclaration) as caught:
        App("shop", base_url=url)
    assert caught.value.code == "base_url_invalid"


@pytest.mark.parametrize(
    ("option", "code", "do"),
    [
        ("eventKey", "option_unknown", "event_key"),
        ("url", "option_unknown", "base_url"),
        ("middlewares", "option_unknown", "middleware"),
    ],
)
def test_options_of_an_app_are_checked(option: str, code: str, do: str) -> None:
    options: dict[str, Any] = {option: "x"}
    with pytest.raises(BadDeclaration) as caught:
        App("shop", **options)
    assert caught.value.code == code
    assert do in caught.value.do


def test_declaring_needs_neither_kafka_nor_a_store_nor_an_http_client() -> None:
    code = (
        "import sys, headrace\n"
        "app = headrace.App('shop')\n"
        "@app.function('f', trigger='x')\n"
        "async def f(ctx: headrace.Context) -> None: ...\n"
        "print(sorted({'confluent_kafka', 'rocksdict', 'aiohttp', 'uvicorn', 'pydantic'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "[]"


def test_an_unknown_name_is_missing_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match="Concurency"):
        headrace.Concurency  # noqa: B018


def test_the_decorator_without_parentheses_is_refused_where_it_stands() -> None:
    app = App("shop")
    with pytest.raises(BadDeclaration, match="function_id_missing") as raised:

        @app.function  # type: ignore[arg-type]
        def bare(ctx: object) -> None: ...

    assert "bare" in raised.value.what
    assert "test_app.py:" in raised.value.where
