"""Pictures: read and write PNG, make smaller, take the colour out; with the standard library alone.

Of PNG (W3C, Portable Network Graphics, third edition) it knows what cameras and screenshots mostly write: 8 bits, RGB
or RGBA (whose transparency is dropped), not interlaced.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {2: 3, 6: 4}  # by colour type


@dataclass(frozen=True)
class Picture:
    """Width and height in pixels; `pixels` has three bytes for each, row by row."""

    width: int
    height: int
    pixels: bytes


def read_png(content: bytes) -> Picture:
    """Read a picture; ValueError for what is no PNG, or not one of those above."""
    try:
        return _read(content)
    except (struct.error, zlib.error) as problem:
        raise ValueError(f"it is cut off or damaged: {problem}") from problem


def _read(content: bytes) -> Picture:
    if not content.startswith(SIGNATURE):
        raise ValueError("it is not a PNG")
    header, packed, place = b"", b"", len(SIGNATURE)
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        body = content[place + 8 : place + 8 + length]
        if content[place + 8 + length : place + 12 + length] != zlib.crc32(kind + body).to_bytes(4, "big"):
            raise ValueError(f"the part at byte {place} is damaged")
        header, packed = (body if kind == b"IHDR" else header), (packed + body if kind == b"IDAT" else packed)
        place += 12 + length
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if bits != 8 or colour not in _CHANNELS or interlaced:
        raise ValueError(f"it has {bits} bits, colour type {colour}, interlacing {interlaced}")
    channels = _CHANNELS[colour]
    rows = _rows(zlib.decompress(packed), width * channels, height, channels)
    if channels == 4:
        rows = [bytes(value for place, value in enumerate(row) if place % 4 != 3) for row in rows]
    return Picture(width, height, b"".join(rows))


def _rows(filtered: bytes, width: int, height: int, step: int) -> list[bytes]:
    """Undo the filter that the writer chose for each row (specification, section 9.2)."""
    if len(filtered) != (width + 1) * height:
        raise ValueError(f"it holds {len(filtered)} bytes of pixels, not {(width + 1) * height}")
    rows, above = [], bytes(width)
    for start in range(0, len(filtered), width + 1):
        kind, row = filtered[start], bytearray(filtered[start + 1 : start + 1 + width])
        if kind > 4:
            raise ValueError(f"it has a row with the filter {kind}")
        for place in range(width):
            left = row[place - step] if place >= step else 0
            up = above[place]
            corner = above[place - step] if place >= step else 0
            row[place] = (row[place] + _predicted(kind, left, up, corner)) & 0xFF
        above = bytes(row)
        rows.append(above)
    return rows


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 4:  # Paeth: whichever neighbour is nearest to left + up - corner
        guess = left + up - corner
        return min((left, up, corner), key=lambda neighbour: abs(guess - neighbour))
    return (0, left, up, (left + up) // 2)[kind]


def write_png(picture: Picture) -> bytes:
    """Write a picture."""
    width = picture.width * 3
    rows = [b"\0" + picture.pixels[start : start + width] for start in range(0, len(picture.pixels), width)]
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    return SIGNATURE + b"".join(
        struct.pack(">I4s", len(body), kind) + body + zlib.crc32(kind + body).to_bytes(4, "big") for kind, body in parts
    )


def shrink(picture: Picture, width: int) -> Picture:
    """Make it so wide: each pixel is the average of those that it stands for."""
    width = min(width, picture.width)
    height = max(1, picture.height * width // picture.width)
    pixels = bytearray()
    for y in range(height):
        ys = range(y * picture.height // height, (y + 1) * picture.height // height)
        for x in range(width):
            xs = range(x * picture.width // width, (x + 1) * picture.width // width)
            places = [3 * (row * picture.width + column) for row in ys for column in xs]
            for channel in range(3):
                pixels.append(sum(picture.pixels[place + channel] for place in places) // len(places))
    return Picture(width, height, bytes(pixels))


def grey(picture: Picture) -> Picture:
    """Take the colour out, with the weights of ITU-R BT.601."""
    pixels = bytearray()
    for place in range(0, len(picture.pixels), 3):
        red, green, blue = picture.pixels[place : place + 3]
        pixels += bytes([(299 * red + 587 * green + 114 * blue) // 1000]) * 3
    return Picture(picture.width, picture.height, bytes(pixels))
