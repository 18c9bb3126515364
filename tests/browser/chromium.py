"""A Chromium without a window, driven through its DevTools protocol (chromedevtools.github.io/devtools-protocol)."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_START_S = 30.0
_ANSWER_S = 20.0


def find_chromium() -> str | None:
    """Find the program: HEADRACE_CHROMIUM names it, else the usual names are looked for."""
    named = os.environ.get("HEADRACE_CHROMIUM")
    return named or next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Tab:
    """One page in the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.loaded = asyncio.Event()
        self.complaints: list[str] = []  # errors and warnings of the console, refused by the policy or by scripts
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                waiting = self._waiting.pop(said["id"])
                if "error" in said:
                    waiting.set_exception(AssertionError(f"Chromium refused: {said['error']}"))
                else:
                    waiting.set_result(said["result"])
            elif said["method"] == "Page.loadEventFired":
                self.loaded.set()
            elif said["method"] == "Log.entryAdded":
                self.complaints.append(said["params"]["entry"]["text"])
            elif said["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(said["params"]["exceptionDetails"]))

    async def do(self, method: str, **parameters: Any) -> Any:
        """Send a command and wait for its answer."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        return await asyncio.wait_for(self._waiting[number], _ANSWER_S)

    async def open(self, url: str) -> None:
        """Go to a page and wait until it is there."""
        self.loaded.clear()
        await self.do("Page.navigate", url=url)
        await asyncio.wait_for(self.loaded.wait(), _ANSWER_S)

    async def shape(self, width: int, height: int, *, dark: bool = False) -> None:
        """Change the size of the page and the reader's preference for light or dark."""
        await self.do(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.do("Emulation.setEmulatedMedia", features=features)

    async def evaluate(self, script: str) -> Any:
        """Run a script in the page and give its value; a promise is waited for."""
        result = await self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, script: str, truth: Callable[[Any], bool] = bool, *, timeout_s: float = _ANSWER_S) -> Any:
        """Run a script again and again until its value is as it should be."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            value = await self.evaluate(script)
            if truth(value):
                return value
            assert loop.time() < deadline, f"{script} is still {value!r}"
            await asyncio.sleep(0.05)

    async def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Take a picture, of what is seen or of the whole page."""
        taken = await self.do("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(taken["data"]))

    async def close(self) -> None:
        """Let go of the page."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._socket.close()


@asynccontextmanager
async def chromium_tab(program: str, profile: Path) -> AsyncIterator[Tab]:
    """Start the browser with an empty profile and give its one page."""
    process = await asyncio.create_subprocess_exec(
        program,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--hide-scrollbars",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        port = await _port(profile / "DevToolsActivePort", process)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
            tab = Tab(await session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=64 << 20))
            for domain in ("Page", "Runtime", "Log", "Network"):
                await tab.do(f"{domain}.enable")
            yield tab
            await tab.close()
    finally:
        # The browser has many processes; they are one group.
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _port(path: Path, process: asyncio.subprocess.Process) -> int:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_S
    while loop.time() < deadline:
        assert process.returncode is None, f"Chromium ended at once, exit status {process.returncode}"
        if path.exists() and (lines := path.read_text().splitlines()):
            return int(lines[0])
        await asyncio.sleep(0.05)
    raise AssertionError(f"Chromium did not say its port within {_START_S} s")
