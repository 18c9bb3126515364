"""Pictures in, pictures out: real PNGs, made here."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from examples.images import app as module
from examples.images.png import SIGNATURE, Picture, grey, read_png, shrink, write_png


def chequered(width: int, height: int) -> Picture:
    """Make red and blue fields of eight by eight pixels."""
    fields = [b"\xff\0\0" if (x // 8 + y // 8) % 2 else b"\0\0\xff" for y in range(height) for x in range(width)]
    return Picture(width, height, b"".join(fields))


@pytest.fixture
def upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "GALLERY", tmp_path / "gallery")
    path = tmp_path / "board.png"
    path.write_bytes(write_png(chequered(128, 64)))
    return path


def test_a_picture_comes_out_in_three_forms(upload: Path) -> None:
    with module.app.test() as t:
        t.send("image/uploaded", {"path": str(upload)})
        run = t.run_of("process-image")
        assert run.output == ["board-16-wide.png", "board-64-wide.png", "board-grey.png"]
    small, medium, colourless = (read_png((module.GALLERY / name).read_bytes()) for name in run.output)
    assert [(p.width, p.height) for p in (small, medium, colourless)] == [(16, 8), (64, 32), (128, 64)]
    assert small.pixels[:6] == b"\0\0\xff\xff\0\0"
    assert set(colourless.pixels) == {29, 76}


def test_a_branch_that_fails_is_tried_again_alone(upload: Path) -> None:
    with module.app.test() as t:
        t.stub("grey", MemoryError)
        t.send("image/uploaded", {"path": str(upload)})
        run = t.run_of("process-image")
        assert run.phase == "backing_off"
        t.crash()
        t.stub("grey", module.colourless)
        t.advance("5s")
        assert run.status == "Completed"
        assert {name: step.attempts for name, step in run.steps.items() if name != "grey"} == {
            "fetch": 1,
            "thumbnail[0]": 1,
            "thumbnail[1]": 1,
            "store": 1,
            "store:1": 1,
            "store:2": 1,
        }
        assert run.steps["grey"].attempts == 2


def test_what_is_no_picture_fails_at_once(upload: Path) -> None:
    upload.write_bytes(b"GIF89a")
    with module.app.test() as t:
        t.send("image/uploaded", {"path": str(upload)})
        run = t.run_of("process-image")
        assert (run.status, run.steps["fetch"].attempts) == ("Failed", 1)
        assert "the picture cannot be read: it is not a PNG" in str(run.error)


def test_a_picture_survives_being_written_and_read() -> None:
    picture = chequered(13, 7)
    assert read_png(write_png(picture)) == picture
    damaged = bytearray(write_png(picture))
    damaged[-20] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        read_png(bytes(damaged))


def test_shrinking_averages_and_never_enlarges() -> None:
    dots = Picture(2, 2, bytes([0, 0, 0, 100, 0, 0, 0, 100, 0, 0, 0, 100]))
    assert shrink(dots, 1) == Picture(1, 1, bytes([25, 25, 25]))
    assert shrink(dots, 50) == dots
    assert grey(Picture(1, 1, bytes([255, 255, 255]))).pixels == b"\xff\xff\xff"


FILTERED = [b"\5\6\7", b"\5\1\1", b"\3\2\0", b"\4\2\1", b"\3\1\0"]  # by none, the left, above, their mean, Paeth's


@pytest.mark.parametrize("kind", range(5))
def test_every_filter_is_undone(kind: int) -> None:
    """Two grey rows of three pixels: 2 4 7, and below them 5 6 7 by each filter."""
    above, rows = bytes([2, 4, 7]), []
    for values in (above, FILTERED[kind]):
        rows.append(bytes(channel for value in values for channel in (value,) * 3))
    packed = zlib.compress(b"\0" + rows[0] + bytes([kind]) + rows[1])
    header = struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 0)
    content = SIGNATURE
    for name, body in ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")):
        content += struct.pack(">I4s", len(body), name) + body + zlib.crc32(name + body).to_bytes(4, "big")
    assert read_png(content).pixels[9::3] == bytes([5, 6, 7])
