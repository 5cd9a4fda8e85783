"""The program "review": decides photos of a dataset as its page does, each on the disk before the next."""

import sys
from pathlib import Path

import numpy as np

from curate.program import run
from curate.review.review import ReviewRequest, close, opened

_ACTIONS = ("drop", "keep", "drop", "keep", "drop", "keep")


def main() -> None:
    run(lambda: _review(Path(sys.argv[1])), "review", "Run the same command again to continue.", "Free some.")


def _review(dataset: Path) -> None:
    request = ReviewRequest(dataset)
    with opened(request) as (review, _):
        try:
            for row, action in list(enumerate(_ACTIONS))[len(review.log.entries) :]:
                review.act(action, np.array([row]), "tab")
        finally:
            close(review, request)
