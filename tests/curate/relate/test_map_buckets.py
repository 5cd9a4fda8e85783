"""curate/relate/bucket.py: buckets are related in threads, and their results keep the order."""

import time

import pytest

from curate.listener import SILENT
from curate.relate.bucket import map_buckets
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
