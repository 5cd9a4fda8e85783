"""curate/measure/measure.py: how many processes share a GPU where no number is given."""

from types import SimpleNamespace

import pytest
import torch

from curate.measure import measure

GIB = 2**30


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 cores and two GPUs of 24 and 8 GiB."""
    sizes = [24 * GIB, 8 * GIB]
    monkeypatch.setattr(measure, "usable_cores", lambda: 16)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(sizes))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda gpu: SimpleNamespace(total_memory=sizes[gpu]))


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("device", "buckets", "expected"),
    [
        ("cuda", 1000, (8, 2)),
        ("cuda:0", 1000, (6, 2)),
        ("cuda:1", 1000, (2, 8)),
        ("cuda", 16, (2, 8)),
        ("cuda", 1, (1, 16)),
    ],
)
def test_processes_share_the_memory_of_the_gpus(device: str, buckets: int, expected: tuple[int, int]) -> None:
    assert measure._share_cores(None, device, buckets) == expected


@pytest.mark.usefixtures("machine")
def test_a_given_number_of_workers_is_kept_and_on_a_cpu_each_core_has_one() -> None:
    assert measure._share_cores(12, "cuda", 1000) == (12, 1)
    assert measure._share_cores(None, "cpu", 1000) == (16, 1)
