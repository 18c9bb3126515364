"""Reads a request's body, up to a limit and within a time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from headrace.errors import BadRequest

BODY_MS_MAX = 30_000


async def read_body(request: Request, bytes_max: int, *, timeout_ms: int = BODY_MS_MAX) -> bytes:
    """Read the body; never holds more than `bytes_max` and one chunk of it.

    Errors: BadRequest 413 for a longer one, 408 for one that does not end in time, 415 for a compressed one.
    """
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise BadRequest(
            "body_compressed",
            f"the body is encoded as {encoding[:40]!r}",
            status=415,
            why="a small compressed body may stand for a huge one",
            do="send it as it is",
        )
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > bytes_max:
        raise _too_large(bytes_max)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            async for chunk in request.stream():
                size += len(chunk)
                if size > bytes_max:
                    raise _too_large(bytes_max)
                chunks.append(chunk)
    except TimeoutError:
        raise BadRequest(
            "body_too_slow",
            f"the body had not ended after {timeout_ms // 1000} s",
            status=408,
            why="a connection is not held open for ever",
            do="send it faster, or in smaller requests",
        ) from None
    except ClientDisconnect:
        raise BadRequest("body_cut_off", "the connection ended before the body did", do="send it again") from None
    return b"".join(chunks)


def _too_large(bytes_max: int) -> BadRequest:
    return BadRequest(
        "body_too_large",
        f"the body is larger than {bytes_max} bytes",
        status=413,
        why="a request is held in memory until it is dealt with",
        do="send it in several requests",
    )
