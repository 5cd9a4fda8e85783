"""The program "audit": draws photos of a dataset, judges all of them without a page, and records the result."""

import sys
from itertools import cycle
from pathlib import Path

from curate.audit.audit import AuditRequest, drawn
from curate.audit.audit import run as audit
from curate.audit.kinds import KINDS
from curate.program import run
from curate.review.review import ReviewRequest, opened

_ANNOTATOR = "first"


def main() -> None:
    run(lambda: _audit(Path(sys.argv[1])), "audit", "Run the same command again to continue.", "Free some.")


def _audit(dataset: Path) -> None:
    request = AuditRequest(dataset, kept=20, annotator=_ANNOTATOR)
    with opened(ReviewRequest(dataset)) as (review, opened_dataset):
        judgements = drawn(request, review, opened_dataset)
        kinds = cycle(kind.name for kind in KINDS)
        answers = dict(zip(range(len(judgements.draw.photos)), kinds, strict=False))
        try:
            while (number := judgements.next_of(_ANNOTATOR)) is not None:
                judgements.judge(_ANNOTATOR, number, answers[number])
        finally:
            judgements.close()
    audit(request)  # every photo is judged: no page is served, and the result is recorded
