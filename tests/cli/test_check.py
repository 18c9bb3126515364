"""`headrace check`. Goal: what would fail, or do something twice, is found before it runs, with place and remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

HEAD = """
import asyncio
import random
import time
import uuid
from datetime import datetime
import requests_like as rq
from headrace import App, Concurrency, Context, Cron

app = App("shop")

def load(n): return n
"""

GOOD = (
    HEAD.replace("import requests_like as rq\n", "")
    + """
@app.function("good", trigger=Cron("0 9 * * *", timezone="Europe/Berlin"), concurrency=Concurrency(1, key="event.name"))
async def good(ctx: Context):
    async def stamp():
        time.sleep(0.1)
        return time.time(), uuid.uuid4()
    await ctx.step.run("stamp", stamp)
    await ctx.step.run("lambda", lambda: open("/dev/null").close())
    await ctx.step.map("all", [1, 2], load)
    await asyncio.gather(*[ctx.step.run(f"load-{n}", load, n) for n in range(3)])
    waited = await ctx.step.wait_for_event("w", "x/y", match="data.id", timeout="1d", since="run")
    ctx.logger.info("%s %s", ctx.now(), waited)
    print("known")  # headrace: ignore
    rng = random_like = ctx.random
    return rng.random() + random_like.random()

def not_a_function():
    return random.random()
"""
)


def body(lines: str, first: str = "async def f(ctx: Context):", options: str = "") -> str:
    inner = "".join(f"    {line}\n" for line in lines.splitlines())
    head = HEAD.replace("import requests_like as rq\n", "")
    return f'{head}\n@app.function("f", trigger="go"{options})\n{first}\n{inner}'


@pytest.fixture
def checked(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)

    def check(source: str) -> tuple[int, list[dict[str, str]]]:
        path = tmp_path / "shop_to_check.py"
        path.write_text(source)
        result = run("check", str(path), "--json")
        return result.exit_code, [json.loads(line) for line in result.output.splitlines() if line.startswith("{")]

    return check


def test_an_app_without_mistakes(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "good_shop.py"
    path.write_text(GOOD)
    result = run("check", str(path))
    assert (result.exit_code, result.output) == (0, "1 function, no mistakes\n"), result.output


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        (body("return 1", options=", concurency=1"), ["option_unknown"]),
        (body("return 1", options=', maxRuntime="5m"'), ["option_unknown"]),
        (body("return 1", options=', priority="event.data.x >"'), None),
        (body("return 1", options=', debounce="soon"'), ["bad_duration"]),
        (body("return 1").replace('trigger="go"', 'trigger=Cron("0 25 * * *")'), ["cron_invalid"]),
        (body("time.sleep(1)"), ["side_effect_outside_step"]),
        (body("await asyncio.sleep(1)"), ["side_effect_outside_step"]),
        (body("x = datetime.now()"), ["side_effect_outside_step"]),
        (body("x = [uuid.uuid4() for _ in range(3)]"), ["side_effect_outside_step"]),
        (body("x = random.random()", first="def f(ctx, step):"), ["side_effect_outside_step"]),
        (body('await ctx.step.run("a", load, time.time())'), ["side_effect_outside_step"]),
        (body("import subprocess as sp\nsp.run(['ls'])"), ["side_effect_outside_step"]),
        (
            body('async def inner():\n    await ctx.step.run("b", load, 1)\nawait ctx.step.run("a", inner)'),
            ["nested_step"],
        ),
        (body('await ctx.step.run("a", lambda: ctx.step.sleep("b", 1))'), ["nested_step"]),
        (
            body('def inner():\n    step.sleep("b", 1)\nstep.run("a", inner)', first="def f(ctx, step):"),
            ["nested_step"],
        ),
        (
            body('n = 0\ndef count():\n    nonlocal n\n    n += 1\nawait ctx.step.run("a", count)'),
            ["step_changes_variable"],
        ),
        (body('ctx.step.run("a", load, 1)'), ["step_not_awaited"]),
        (body('await asyncio.gather(*[ctx.step.run("a", load, n) for n in range(3)])'), ["duplicate_step"]),
        (body('await asyncio.gather(ctx.step.run("a", load, 1), ctx.step.run("a", load, 2))'), ["duplicate_step"]),
        (body('await ctx.step.sleep("a", "half an hour")'), ["bad_duration"]),
        (body('await ctx.step.wait_for_event("a", "x", match="event.data.id")'), ["bad_match"]),
        (body('await ctx.step.wait_for_event("a", "x", match="data.id", if_="true")'), ["option_invalid"]),
        (body('await ctx.step.wait_for_event("a", "x", timeout="soon")'), ["bad_duration"]),
        (
            body("await helper(ctx)")
            + "\nasync def helper(c):\n    await c.step.sleep('s', 1)\n    return time.time()\n",
            ["side_effect_outside_step"],
        ),
        ("def (", ["app_unloadable"]),
        ("x = 1", ["app_missing"]),
    ],
)
def test_mistakes_are_found(checked, source: str, codes: list[str] | None) -> None:  # type: ignore[no-untyped-def]
    status, found = checked(source)
    assert status == 1
    if codes is not None:
        assert [one["code"] for one in found] == codes, found
    for one in found:
        assert one["what"]
        assert one["why"]
        assert one["do"]
        if one["code"] not in ("app_missing",):
            assert "shop_to_check.py:" in one["where"]


def test_all_mistakes_are_told_at_once_in_their_order(checked) -> None:  # type: ignore[no-untyped-def]
    source = body("time.sleep(1)") + (
        '\n@app.function("f", trigger="go")\nasync def same(ctx): ...\n'
        '\n@app.function("g", triger="go")\nasync def g(ctx): ...\n'
        '\n@app.function("h", trigger="go", batch=5)\nasync def h(ctx): ...\n'
    )
    status, found = checked(source)
    assert status == 1
    assert [one["code"] for one in found] == [
        "side_effect_outside_step",
        "function_id_twice",
        "option_unknown",
        "option_invalid",
    ]
    lines = [int(one["where"].rpartition(":")[2]) for one in found]
    assert lines == sorted(lines)
    assert source.splitlines()[lines[0] - 1].strip() == "time.sleep(1)"


def test_people_read_four_parts(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad_shop.py"
    path.write_text(body("return 1", options=", concurency=1"))
    result = run("check", str(path))
    assert result.exit_code == 1
    for part in ("[option_unknown]", "where: ", "why: ", "do: ", "did you mean concurrency?", "1 mistake"):
        assert part in result.output + result.stderr
