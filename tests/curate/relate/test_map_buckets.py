"""curate/relate/bucket.py: buckets are related in threads, and their results keep the order; the sample of faces."""

import time

import numpy as np
import pytest

from curate.listener import SILENT
from curate.relate.bucket import map_buckets, sample_faces
from tests.samples.embeddings import bucket, folder, people, photos_of
from tests.samples.listener import Recorder


def test_results_keep_the_order_of_the_buckets() -> None:
    def slow_first(bucket: int) -> int:
        time.sleep(0.02 if bucket == 0 else 0)
        return 10 * bucket

    listener = Recorder()
    assert map_buckets(listener, "step", 5, slow_first) == [0, 10, 20, 30, 40]


def test_the_first_error_ends_the_pass() -> None:
    def fail(bucket: int) -> int:
        raise ValueError(f"bucket {bucket}")

    with pytest.raises(ValueError, match="bucket 0"):
        map_buckets(SILENT, "step", 3, fail)


def test_empty_buckets_are_no_part_of_the_sample() -> None:
    """Ten large identities in 200 buckets, of which 64 are sampled."""
    full = {20 * i + 7: bucket(folder(f"p{i}", *photos_of(person, 3, i))) for i, person in enumerate(people(10))}
    empty = bucket([("p/000.jpg", "p", None)])
    vectors, identity = sample_faces(lambda number: full.get(number, empty), 200)
    assert vectors.shape[0] == 30
    assert len(np.unique(identity)) == 10
    assert (np.diff(identity) >= 0).all()
