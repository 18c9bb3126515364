"""The pages in a real Chromium. Goal: they stand, at every size and in light and dark; they live; nothing hostile runs.

Chromium is skipped over where it is not installed, and missed on CI. HEADRACE_SCREENSHOTS names a folder for pictures.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import uvicorn

from headrace.adapters.system_clock import SystemClock
from headrace.console.archive_reader import ArchiveReader
from headrace.console.projection import Projection
from headrace.console.server import create_asgi_app
from headrace.intake.http import EventDoor
from headrace.records.history import Kind
from tests.browser.chromium import Tab, chromium_tab, find_chromium
from tests.console.archives import ToldStatus, close_all, fill
from tests.console.histories import TOPICS, History
from tests.console.shop import shop_history
from tests.intake.appenders import TakingAppender

pytestmark = pytest.mark.slow

PLACES = ("/", "/events", "/functions", "/partitions", "/dead", "/send", "/login", "/?status=Failed", "/nothing")
SHAPES = ((1440, 900, False), (1440, 900, True), (820, 1100, False), (390, 844, False), (390, 844, True))
HOSTILE = "\"><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture
def chromium() -> str:
    program = find_chromium()
    if program is None:
        missing = "no Chromium: install one (apt install chromium), or name it in HEADRACE_CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return program


class Site:
    """A server over an archive that grows, and a browser that looks at it."""

    def __init__(self, tab: Tab, url: str, projection: Projection, history: History, sent: TakingAppender) -> None:
        self.tab = tab
        self.url = url
        self.projection = projection
        self.history = history
        self.sent = sent

    def project(self) -> None:
        """Put what the history has got meanwhile into the archive."""
        records = sorted(self.history.records, key=lambda record: (record.topic, record.partition, record.offset))
        self.projection.apply(records)
        self.projection.note_ends({}, now_ms())

    async def open(self, where: str) -> None:
        """Go to a page."""
        await self.tab.open(self.url + where)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def site(folder: Path, chromium: str) -> AsyncIterator[Site]:
    history = shop_history(now_ms(), runs=150)
    projection = fill(folder / "a.db", history.records, alive_ms=now_ms())
    sent = TakingAppender()
    clock = SystemClock()
    archive = ArchiveReader(folder / "a.db")

    async def cancel(run_id: str, partition: int, reason: str) -> None:
        function_id = "shop-process-order"
        history.life(Kind.RunEnded, partition, now_ms(), run_id, function_id, status="Cancelled", error_message=reason)

    app = create_asgi_app(
        archive=archive,
        status=ToldStatus(8),
        clock=clock,
        door=EventDoor(sent, TOPICS.events, 8, clock),
        cancel_run=cancel,
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve([listening]))
        try:
            async with chromium_tab(chromium, folder / "profile") as tab:
                yield Site(tab, f"http://127.0.0.1:{port}", projection, history, sent)
        finally:
            server.should_exit = True
            await serving
            archive.close()
            close_all()


async def _overflow(tab: Tab) -> Any:
    return await tab.evaluate("document.documentElement.scrollWidth - innerWidth")


def test_every_page_stands_at_every_size_in_light_and_dark(tmp_path: Path, chromium: str) -> None:
    async def play() -> None:
        async with site(tmp_path, chromium) as there:
            tab = there.tab
            runs = {record.key for record in there.history.records[-400:] if record.topic == TOPICS.history}
            places = [*PLACES, *(f"/runs/{key.decode()}" for key in sorted(filter(None, runs))[-8:])]
            for where in places:
                for width, height, dark in SHAPES:
                    await tab.shape(width, height, dark=dark)
                    await there.open(where)
                    assert await _overflow(tab) <= 0, (where, width)
                    assert await tab.evaluate("document.querySelector('h1').textContent.length > 0")
                    ground = await tab.evaluate("getComputedStyle(document.body).backgroundColor")
                    assert (int(ground.split("(")[1].split(",")[0]) < 64) is dark, ground
                    if folder := os.environ.get("HEADRACE_SCREENSHOTS"):
                        name = (
                            f"{where.strip('/').replace('/', '-') or 'runs'}-{width}-{'dark' if dark else 'light'}.png"
                        )
                        await tab.screenshot(Path(folder) / name)
            # What the policy refuses, what a script throws and what is not found all end up here.
            expected = [said for said in tab.complaints if "404" in said]
            assert tab.complaints == expected
            assert len(expected) == len(SHAPES)  # of /nothing

    asyncio.run(play())


def test_lists_and_runs_renew_themselves(tmp_path: Path, chromium: str) -> None:
    async def play() -> None:
        async with site(tmp_path, chromium) as there:
            tab, history = there.tab, there.history
            await tab.shape(1440, 900)
            await there.open("/")
            event = history.event("order/created", {"n": 1}, now_ms())
            run = history.run("shop-process-order", [event], now_ms())
            there.project()
            await tab.until(f"document.body.innerHTML.includes('{run.run_id}')")
            await there.open(f"/runs/{run.run_id}")
            run.step("load", now_ms() - 5, now_ms(), {"found": "it"})
            there.project()
            await tab.until("document.querySelectorAll('.steps details').length == 1")
            await tab.evaluate("document.querySelector('.steps details').open = true")
            run.step("charge", now_ms() - 5, now_ms())
            there.project()
            await tab.until("document.querySelectorAll('.steps details').length == 2")
            assert await tab.evaluate("document.querySelector('.steps details').open"), "it was closed by the renewal"
            run.complete(now_ms(), {"done": True})
            there.project()
            await tab.until("document.querySelector('.pill').textContent == 'Completed'")
            await tab.until("!('live' in document.getElementById('live').dataset)")
            assert tab.complaints == []

    asyncio.run(play())


def test_filters_apply_themselves_and_times_are_the_reader_s(tmp_path: Path, chromium: str) -> None:
    async def play() -> None:
        async with site(tmp_path, chromium) as there:
            tab = there.tab
            await tab.do("Emulation.setTimezoneOverride", timezoneId="Asia/Tokyo")
            await there.open("/")
            stamp = await tab.evaluate("document.querySelector('time').dateTime")
            shown = await tab.evaluate("document.querySelector('time b').textContent")
            assert int(shown[:2]) == (int(stamp[11:13]) + 9) % 24
            tab.loaded.clear()
            await tab.evaluate(
                "(() => { const s = document.querySelector('select[name=function]'); s.value = 'media-resize-image';"
                " s.dispatchEvent(new Event('change', {bubbles: true})) })()"
            )
            await asyncio.wait_for(tab.loaded.wait(), 20)
            assert await tab.evaluate("location.search") == "?function=media-resize-image"
            names = await tab.evaluate(
                "[...document.querySelectorAll('td[data-head=Function]')].map(cell => cell.textContent)"
            )
            assert set(names) == {"media-resize-image"}

    asyncio.run(play())


def test_an_event_is_sent_and_a_run_cancelled(tmp_path: Path, chromium: str) -> None:
    async def play() -> None:
        async with site(tmp_path, chromium) as there:
            tab, history = there.tab, there.history
            await there.open("/send")
            await tab.evaluate(
                "(() => { const f = document.querySelector('form.write'); f.elements.name.value = 'order/created';"
                " f.elements.data.value = '{';"
                " f.elements.data.dispatchEvent(new Event('input', {bubbles: true}))"
                " })()"
            )
            assert await tab.evaluate("document.querySelector('textarea').validationMessage.length > 0")
            await tab.evaluate(
                "(() => { const f = document.querySelector('form.write'); f.elements.data.value = '{\"n\": 1}';"
                " f.elements.data.dispatchEvent(new Event('input', {bubbles: true})); f.requestSubmit() })()"
            )
            await tab.until("location.pathname.startsWith('/events/')")
            assert [out.value for out in there.sent.sent] == [b'{"name":"order/created","data":{"n": 1}}']
            event = history.event("order/created", {"n": 1}, now_ms())
            run = history.run("shop-process-order", [event], now_ms())
            there.project()
            await there.open(f"/runs/{run.run_id}")
            await tab.evaluate("window.confirm = () => true")
            await tab.evaluate("document.querySelector('button.danger').form.requestSubmit()")
            await tab.until("document.readyState == 'complete' && !window.confirm.toString().includes('=>')")
            there.project()
            await tab.until("document.querySelector('.pill').textContent == 'Cancelled'")
            assert tab.complaints == []

    asyncio.run(play())


def test_nothing_hostile_runs(tmp_path: Path, chromium: str) -> None:
    async def play() -> None:
        async with site(tmp_path, chromium) as there:
            tab, history = there.tab, there.history
            event = history.event(HOSTILE, {HOSTILE: HOSTILE}, now_ms(), id=HOSTILE)
            run = history.run(HOSTILE, [event], now_ms())
            run.step(HOSTILE, now_ms() - 5, now_ms(), HOSTILE, op=HOSTILE).fail(now_ms(), HOSTILE, HOSTILE)
            there.project()
            for where in (
                "/",
                "/events",
                "/functions",
                f"/events/{event}",
                f"/runs/{run.run_id}",
                f"/send?event={event}",
            ):
                await there.open(where)
                assert await tab.evaluate("document.title") != "owned", where
                assert await tab.evaluate("document.images.length + document.scripts.length") == 1, where
            for where in (f"/?function={quote(HOSTILE)}", f"/events?name={quote(HOSTILE)}", f"/{quote(HOSTILE)}"):
                await there.open(where)
                assert await tab.evaluate("document.title") != "owned", where
                assert await tab.evaluate("document.images.length") == 0, where

    asyncio.run(play())
