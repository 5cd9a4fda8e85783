"""The requests of the review's page, as a Starlette application."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from curate.review.actions import ACTIONS, RefusedError
from curate.review.filters import FilterError
from curate.review.index import NONE
from curate.review.page_app import PageApp, json_answer
from curate.review.pictures import Pictures
from curate.review.queues import first_queue, menu, screens
from curate.review.screens import person, photo, screen, tiles
from curate.review.session import Change, Review
from manifests.errors import OutputError
from manifests.records import InvalidRecordError, parse_record

_MAX_PEOPLE = 6
"""Identities found by name."""

_HEARTBEAT = 15.0
"""Seconds after which a line without a meaning shows that the connection of `events` is open."""


@dataclass(frozen=True)
class ActRequest:
    """The body of /api/act.

    Attributes:
        action: of ACTIONS.
        by: random name of the browser tab.
        rows: photos.
        queue: instead of rows: all undecided photos of this queue.
        identity, other: codes of identities.
    """

    action: str
    by: str
    rows: list[int] | None = None
    queue: str | None = None
    identity: int = NONE
    other: int = NONE


@dataclass(frozen=True)
class UndoRequest:
    """The body of /api/undo and /api/redo: the browser tab."""

    by: str


class ReviewApp(PageApp):
    """The application of `curate review`; arguments as of `PageApp`, and the state of the review."""

    def __init__(self, review: Review, pictures: Pictures, name: str, version: str) -> None:
        super().__init__("index.html", pictures, name, version, len(review.index))
        self.review = review
        self._queues: set[asyncio.Queue[str]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        review.listen(self._publish)

    def routes(self) -> list[Route]:
        return [
            Route("/api/state", self._state),
            Route("/api/queue", self._queue),
            Route("/api/screen", self._screen),
            Route("/api/photo", self._photo),
            Route("/api/people", self._people),
            Route("/api/act", self._act, methods=["POST"]),
            Route("/api/undo", self._undo, methods=["POST"]),
            Route("/api/redo", self._redo, methods=["POST"]),
            Route("/api/events", self._events),
        ]

    def _state(self, request: Request) -> Response:
        with self.review.lock:
            entries = [asdict(entry) for entry in menu(self.review.index, self.review.document)]
        return json_answer({
            "name": self.name, "version": self.version, "photos": len(self.review.index), "queues": entries,
            "counts": self.review.counts, "problem": self.review.problem, "decisions": len(self.review.log.entries),
        })  # fmt: skip

    def _queue(self, request: Request) -> Response:
        """The screens of a queue; without a name, of the first one that has something to decide."""
        index, document = self.review.index, self.review.document
        with self.review.lock:
            name = request.query_params.get("queue") or first_queue(index, document)
            try:
                found = screens(name, index, document, self.review.dataset)
            except FilterError as error:
                return json_answer({"error": str(error)}, 400)
            except KeyError:
                return json_answer({"error": "no such queue"}, 404)
        return json_answer({"name": name, "screens": [[entry.key, entry.title, entry.open] for entry in found]})

    def _screen(self, request: Request) -> Response:
        query = request.query_params
        with self.review.lock:
            try:
                return json_answer(screen(self.review, query.get("key", ""), query.get("queue", "")))
            except FilterError as error:
                return json_answer({"error": str(error)}, 400)
            except KeyError:
                return json_answer({"error": "no such screen"}, 404)

    def _photo(self, request: Request) -> Response:
        row = self.row_of(request.query_params.get("row", ""))
        if row is None:
            return json_answer({"error": "no such photo"}, 404)
        with self.review.lock:
            return json_answer(photo(self.review, row))

    def _people(self, request: Request) -> Response:
        """Identities whose names contain a text, those that begin with it first."""
        text = request.query_params.get("text", "").lower()
        names = self.review.index.names.names
        with self.review.lock:
            found = [code for code, name in enumerate(names) if text in name.lower()]
            found.sort(key=lambda code: (not names[code].lower().startswith(text), names[code]))
            return json_answer([person(self.review.index, code) for code in found[:_MAX_PEOPLE]])

    async def _act(self, request: Request) -> Response:
        return await self._change(request, ActRequest, self._done)

    async def _undo(self, request: Request) -> Response:
        nothing = "nothing to undo: this window has decided nothing that is not undone"
        return await self._change(request, UndoRequest, lambda body: self.review.undo(body.by), nothing)

    async def _redo(self, request: Request) -> Response:
        nothing = "nothing to redo: this window has undone nothing since its last decision"
        return await self._change(request, UndoRequest, lambda body: self.review.redo(body.by), nothing)

    async def _change(self, request: Request, kind: Any, act: Any, nothing: str = "") -> Response:
        try:
            body = parse_record(await request.body(), kind)
        except InvalidRecordError as error:
            return json_answer({"error": f"not understood: {error}"}, 400)
        try:
            change = await run_in_threadpool(act, body)
        except RefusedError as error:
            return json_answer({"error": str(error)}, 409)
        except FilterError as error:
            return json_answer({"error": str(error)}, 400)
        except OutputError as error:
            return json_answer({"error": f"not saved: {error}"}, 507)
        except (KeyError, IndexError):
            return json_answer({"error": "no such photo, identity or queue"}, 404)
        if change is None:
            return json_answer({"error": nothing}, 409)
        return json_answer(self._values(change))

    def _done(self, body: ActRequest) -> Change:
        index = self.review.index
        if body.action not in ACTIONS:
            raise KeyError(body.action)
        if body.queue is not None:
            return self.review.act_on_queue(body.action, body.queue, body.by)
        rows = np.array(body.rows or [], np.int64)
        codes = (body.identity, body.other)
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(index)):
            raise IndexError(rows)
        if not all(NONE <= code < len(index.names.names) for code in codes):
            raise IndexError(codes)
        return self.review.act(body.action, rows, body.by, *codes)

    async def _events(self, request: Request) -> Response:
        """The changes of all windows, as server-sent events."""
        self._loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str] = asyncio.Queue(1000)
        self._queues.add(queue)

        async def lines() -> AsyncIterator[str]:
            try:
                yield ": open\n\n"
                while True:
                    try:
                        yield f"data: {await asyncio.wait_for(queue.get(), _HEARTBEAT)}\n\n"
                    except TimeoutError:
                        yield ": still open\n\n"
            finally:
                self._queues.discard(queue)

        return StreamingResponse(lines(), media_type="text/event-stream")

    def _publish(self, change: Change) -> None:
        """Send a change to all windows; called in the thread of the action."""
        if self._loop is None or self._loop.is_closed():
            return
        if not self._queues:
            return
        text = json.dumps(self._values(change))

        def put() -> None:
            for queue in self._queues:
                if not queue.full():
                    queue.put_nowait(text)

        self._loop.call_soon_threadsafe(put)

    def _values(self, change: Change) -> dict[str, object]:
        index = self.review.index
        with self.review.lock:
            return {
                "number": change.number,
                "action": change.action,
                "by": change.by,
                "photos": change.photos,
                "complete": change.complete,
                "tiles": tiles(index, change.rows[:200]),
                "rows": change.rows.tolist(),
                "person": person(index, change.identity) if change.identity != NONE else None,
                "counts": change.counts,
            }
