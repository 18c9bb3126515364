"""Twelve pictures, made here, and one that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.images.png import Picture, read_png, write_png

if TYPE_CHECKING:
    from examples.stage import Stage

PICTURES = 12
SHORT: dict[str, str] = {}


def play(stage: Stage) -> None:
    """Upload them, and read what lies in the gallery."""
    for number in range(PICTURES):
        fields = ((x, y, channel) for y in range(48) for x in range(96) for channel in range(3))
        pixels = bytes((x * 2 + channel * number * 9 + y) % 256 for x, y, channel in fields)
        path = stage.folder / f"picture-{number}.png"
        path.write_bytes(write_png(Picture(96, 48, pixels)))
        stage.send("image/uploaded", {"path": str(path)})
    broken = stage.folder / "broken.png"
    broken.write_bytes(b"GIF89a")
    stage.send("image/uploaded", {"path": str(broken)})
    runs = stage.await_runs("images-process-image", PICTURES)
    failed = stage.await_runs("images-process-image", 1, status="Failed")
    stage.check("what is no picture was refused at once", "it is not a PNG" in failed[0]["error"]["message"])
    gallery = stage.folder / ".headrace" / "gallery"
    widths = sorted(read_png(path.read_bytes()).width for path in gallery.glob("*.png"))
    stage.check("36 pictures are in the gallery, and can be read", widths == [16] * 12 + [64] * 12 + [96] * 12)
    stage.check("each run names its three", all(len(run["output"]) == 3 for run in runs))
