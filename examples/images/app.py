"""A picture is uploaded: make thumbnails and a grey one side by side, and put all of them into the gallery.

    headrace dev examples/images/app.py

and in another terminal, with a PNG of your own:

    headrace send image/uploaded '{"path": "/home/ada/cat.png"}'

The results are written to .headrace/gallery.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

from headrace import App, Concurrency, Context, NonRetriableError

from .png import Picture, grey, read_png, shrink, write_png

GALLERY = Path(os.environ.get("IMAGES_GALLERY", ".headrace/gallery"))
WIDTHS = (16, 64)

app = App("images")


def fetch(path: str) -> bytes:
    """Read the upload. Bytes are recorded as they are; a step's result may have 4 MiB."""
    content = Path(path).read_bytes()
    decoded(content)
    return content


def decoded(content: bytes) -> Picture:
    """Read the picture. One that is broken stays broken: no further attempt is made."""
    try:
        return read_png(content)
    except ValueError as problem:
        raise NonRetriableError(f"the picture cannot be read: {problem}") from problem


def thumbnail(content: bytes, width: int) -> bytes:
    """Make it so wide. Plain functions run on a thread: the node's loop goes on while they compute."""
    return write_png(shrink(decoded(content), width))


def colourless(content: bytes) -> bytes:
    """Take the colour out."""
    return write_png(grey(decoded(content)))


def store(name: str, content: bytes) -> str:
    """Write a file; doing it twice is doing it once."""
    GALLERY.mkdir(parents=True, exist_ok=True)
    (GALLERY / name).write_bytes(content)
    return name


@app.function("process-image", trigger="image/uploaded", concurrency=Concurrency(4))
async def process_image(ctx: Context) -> list[str]:
    """Process a picture. When one branch fails it alone is tried again; the others are recorded already."""
    path = ctx.event.data["path"]
    original = await ctx.step.run("fetch", fetch, path)
    # `map` makes a step of each item (thumbnail[0], thumbnail[1]), so many at once; gather takes whatever there is.
    small, without_colour = await asyncio.gather(
        ctx.step.map("thumbnail", WIDTHS, partial(thumbnail, original), parallel=2),
        ctx.step.run("grey", colourless, original),
    )
    made = {f"{width}-wide": content for width, content in zip(WIDTHS, small, strict=True)} | {"grey": without_colour}
    stem = Path(path).stem
    return [await ctx.step.run("store", store, f"{stem}-{name}.png", content) for name, content in made.items()]
