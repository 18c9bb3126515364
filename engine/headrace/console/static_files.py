"""The pages' style sheet, script and pictures: read once, and never from a path that a request names."""

from __future__ import annotations

from hashlib import blake2b
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_YEAR_S = 31_536_000


class ShippedFiles:
    """Answers `GET /static/{name}`. `version` changes with what is in the files, and stands in the links to them."""

    def __init__(self) -> None:
        folder = files("headrace.console") / "static"
        self._files = {
            entry.name: entry.read_bytes()
            for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
            if entry.name.rpartition(".")[2] in _TYPES
        }
        self.version = blake2b(b"\0".join(self._files.values()), digest_size=6).hexdigest()

    async def show(self, request: Request) -> Response:
        """Answer with a file."""
        name = request.path_params["name"]
        content = self._files.get(name)
        if content is None:
            raise HTTPException(404)
        fresh = request.query_params.get("v") == self.version
        caching = f"public, max-age={_YEAR_S}, immutable" if fresh else "no-cache"
        return Response(content, headers={"cache-control": caching}, media_type=_TYPES[name.rpartition(".")[2]])
