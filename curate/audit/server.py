"""The requests of the audit's page. It shows neither verdict nor doubt, so that judgements do not follow them."""

import threading
from dataclasses import asdict, dataclass

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from curate.audit.judgements import Judgements
from curate.audit.kinds import KINDS
from curate.review.page_app import PageApp, json_answer
from curate.review.pictures import Pictures
from curate.review.screens import person
from curate.review.session import Review
from manifests.errors import OutputError
from manifests.records import InvalidRecordError, parse_record


@dataclass(frozen=True)
class JudgeRequest:
    """The body of /api/judge: the number of a photo in the draw, and what the annotator says; "" takes back."""

    number: int
    kind: str


class AuditApp(PageApp):
    """The application of `curate audit`; arguments as of `PageApp`, and the draw and its annotator."""

    def __init__(
        self, review: Review, judgements: Judgements, annotator: str, pictures: Pictures, name: str, version: str
    ) -> None:
        super().__init__("audit.html", pictures, name, version, len(review.index))
        self._review, self._judgements, self._annotator = review, judgements, annotator
        self._rows = review.index.rows_of(photo.image_id for photo in judgements.draw.photos)
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        return [
            Route("/api/state", self._state),
            Route("/api/item", self._item),
            Route("/api/judge", self._judge, methods=["POST"]),
            Route("/api/undo", self._undo, methods=["POST"]),
        ]

    def _state(self, request: Request) -> Response:
        with self._lock:
            return json_answer({
                "name": self.name, "version": self.version, "annotator": self._annotator,
                "kinds": [asdict(kind) for kind in KINDS], **self._progress(),
            })  # fmt: skip

    def _progress(self) -> dict[str, object]:
        return {
            "photos": len(self._judgements.draw.photos),
            "judged": len(self._judgements.given.get(self._annotator, {})),
            "next": self._judgements.next_of(self._annotator),
        }

    def _item(self, request: Request) -> Response:
        """A photo of the draw, and the faces of its identity to compare it with."""
        text = request.query_params.get("number", "")
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
        if not 0 <= number < len(self._judgements.draw.photos):
            return json_answer({"error": "no such photo"}, 404)
        index = self._review.index
        row = self._rows[self._judgements.draw.photos[number].image_id]
        with self._lock:
            given = self._judgements.given.get(self._annotator, {}).get(number)
        shown = person(index, int(index.identity[row]))
        heads = [head for head in shown["heads"] if head != row]
        place = self._review.decider.tables(np.array([row], np.int64))[0].to_pylist()[0]
        box = [place[name] for name in ("box_x0", "box_y0", "box_x1", "box_y1")] if place["face_id"] else None
        size = [place["width"], place["height"]] if place["width"] else None
        return json_answer({
            "number": number, "row": row, "given": given, "person": shown | {"heads": heads}, "box": box, "size": size,
        })  # fmt: skip

    async def _judge(self, request: Request) -> Response:
        try:
            body = parse_record(await request.body(), JudgeRequest)
            return await run_in_threadpool(self._record, body)
        except InvalidRecordError as error:
            return json_answer({"error": f"not understood: {error}"}, 400)
        except OutputError as error:
            return json_answer({"error": f"not saved: {error}"}, 507)

    def _record(self, body: JudgeRequest) -> Response:
        with self._lock:
            self._judgements.judge(self._annotator, body.number, body.kind)
            return json_answer(self._progress())

    async def _undo(self, request: Request) -> Response:
        try:
            return await run_in_threadpool(self._take_back)
        except OutputError as error:
            return json_answer({"error": f"not saved: {error}"}, 507)

    def _take_back(self) -> Response:
        with self._lock:
            number = self._judgements.undo(self._annotator)
            if number is None:
                return json_answer({"error": "nothing to undo"}, 409)
            return json_answer(self._progress() | {"next": number})
