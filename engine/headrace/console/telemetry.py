"""What SDKs send of traces of their own: taken, and not kept. Source: the SDK protocol page, section 6.1."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

_BYTES_MAX = 16 << 20


class Telemetry:
    """`POST /v1/traces/userland`: what comes is read to its end, so that the connection can be used again."""

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/v1/traces/userland", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """Answer 200; 413 for more than anybody sends."""
        size = 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > _BYTES_MAX:
                    return Response(status_code=413)
        except ClientDisconnect:
            pass
        return Response(status_code=200, media_type="application/json")
