"""Side effects that can be told by the name of what is called, and what to write instead."""

from __future__ import annotations

_STEP = 'call it in a step: await ctx.step.run("…", …)'
_CLOCK = "write ctx.now(): it is the same whenever the code is replayed; or read the clock in a step"
_CHANCE = "write ctx.random or ctx.uuid(): they are the same whenever the code is replayed; or draw in a step"
_REST = 'write await ctx.step.sleep("…", "30s"): it holds no memory, and is over once'

# By the dotted name, or by what it begins with (with a dot at the end).
_EFFECTS: dict[str, tuple[str, str]] = {
    "time.sleep": ("waits again", _REST),
    "asyncio.sleep": ("waits again", _REST),
    "time.time": ("gives another time", _CLOCK),
    "time.time_ns": ("gives another time", _CLOCK),
    "time.monotonic": ("gives another time", _CLOCK),
    "datetime.datetime.now": ("gives another time", _CLOCK),
    "datetime.datetime.utcnow": ("gives another time", _CLOCK),
    "datetime.datetime.today": ("gives another time", _CLOCK),
    "datetime.date.today": ("gives another time", _CLOCK),
    "random.": ("gives another value", _CHANCE),
    "secrets.": ("gives another value", _CHANCE),
    "uuid.uuid1": ("gives another value", _CHANCE),
    "uuid.uuid4": ("gives another value", _CHANCE),
    "os.urandom": ("gives another value", _CHANCE),
    "print": ("prints again", "write ctx.logger.info(…): it is silent while recorded parts are replayed"),
    "input": ("asks again", _STEP),
    "open": ("is done again", _STEP),
    "os.system": ("is done again", _STEP),
    "os.remove": ("is done again", _STEP),
    "os.unlink": ("is done again", _STEP),
    "os.rename": ("is done again", _STEP),
    "os.makedirs": ("is done again", _STEP),
    "shutil.": ("is done again", _STEP),
    "subprocess.": ("is done again", _STEP),
    "requests.": ("is sent again", _STEP),
    "httpx.": ("is sent again", _STEP),
    "aiohttp.": ("is sent again", _STEP),
    "urllib.request.": ("is sent again", _STEP),
    "http.client.": ("is sent again", _STEP),
    "smtplib.": ("is sent again", _STEP),
    "socket.": ("is done again", _STEP),
    "sqlite3.": ("is done again", _STEP),
    "psycopg.": ("is done again", _STEP),
    "psycopg2.": ("is done again", _STEP),
    "boto3.": ("is done again", _STEP),
}


def effect_of(dotted: str) -> tuple[str, str] | None:
    """Tell what a call does whenever the code is replayed, and what to write instead; None if that cannot be told."""
    found = _EFFECTS.get(dotted)
    if found is None and "." in dotted:
        found = _EFFECTS.get(dotted[: dotted.index(".") + 1])
        if found is None:
            found = _EFFECTS.get(dotted[: dotted.rindex(".") + 1])
    return found
