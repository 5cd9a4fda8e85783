"""The files and pictures that every page of a review serves, and JSON answers."""

import json
from importlib.resources import files

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from curate.review.guard import Guard
from curate.review.pictures import Pictures

_HTML, _CSS, _SCRIPT = "text/html; charset=utf-8", "text/css; charset=utf-8", "text/javascript; charset=utf-8"
FILES = {
    "index.html": _HTML,
    "audit.html": _HTML,
    "review.css": _CSS,
    **dict.fromkeys(
        (
            "ahead.js",
            "audit.js",
            "keyboard.js",
            "lasso.js",
            "menu.js",
            "message.js",
            "panel.js",
            "review.js",
            "server.js",
            "view.js",
        ),
        _SCRIPT,
    ),
}
"""Files of the pages, in `curate/review/page/`, and their types."""

_FOREVER = {"Cache-Control": "private, max-age=86400, immutable"}
"""Of pictures: their address carries the version of the dataset."""


class PageApp:
    """A page: its files and the pictures of a dataset. An application adds `routes`.

    Args:
        page: HTML file that is served as "/".
        pictures: crops and photos.
        name: of the dataset, for display.
        version: identifies the rows of the dataset; a page of another version gets no pictures.
        photos: number of photos.
    """

    def __init__(self, page: str, pictures: Pictures, name: str, version: str, photos: int) -> None:
        self.page, self.pictures, self.name, self.version, self.photos = page, pictures, name, version, photos

    def routes(self) -> list[Route]:
        """Return the routes of the application."""
        return []

    def guarded(self, port: int, token: str) -> Guard:
        """Return the application behind its guard."""
        routes = [
            Route("/", self._file),
            Route("/favicon.ico", _no_icon),
            Route("/{name}", self._file),
            *self.routes(),
            Route("/{version}/crop/{row:int}", self._crop),
            Route("/{version}/source/{row:int}", self._source),
        ]
        return Guard(Starlette(routes=routes), port, token)

    def row_of(self, number: int | str) -> int | None:
        """Return a row that a client names; None where there is none."""
        text = str(number)
        row = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1
        return row if 0 <= row < self.photos else None

    def _file(self, request: Request) -> Response:
        name = request.path_params.get("name", self.page)
        if name not in FILES:
            return PlainTextResponse("not found", 404)
        return Response((files("curate.review") / "page" / name).read_bytes(), media_type=FILES[name])

    def _crop(self, request: Request) -> Response:
        row = self.row_of(request.path_params["row"])
        return self._picture(None if row is None else self.pictures.crop(row), request)

    def _source(self, request: Request) -> Response:
        row = self.row_of(request.path_params["row"])
        return self._picture(None if row is None else self.pictures.source(row), request)

    def _picture(self, data: bytes | None, request: Request) -> Response:
        if data is None or request.path_params["version"] != self.version:
            return PlainTextResponse("not found", 404)
        return Response(data, media_type="image/jpeg", headers=_FOREVER)


def json_answer(values: object, status: int = 200) -> Response:
    """Return values as JSON."""
    return Response(json.dumps(values, separators=(",", ":")), status, media_type="application/json")


def _no_icon(request: Request) -> Response:
    return Response(status_code=204)
