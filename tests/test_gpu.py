"""bench.gpu: every path on a GPU agrees with the CPU; without one the benchmark runs on the CPU with tiny sizes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.gpu", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
def test_every_path_on_a_gpu_agrees_with_the_cpu() -> None:
    result = run("--photos", "48", "--seconds", "0")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_dry_run_compares_every_path_and_measures_every_stage() -> None:
    result = run("--device", "cpu", "--photos", "3", "--seconds", "0", "--side", "64", "--per-worker", "4")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "fails" not in result.stdout
    for name in (
        "detector: boxes",
        "warps of photos",
        "embedder",
        "segmenter",
        "measures",
        "nearest other identity",
        "pack",
        "EMA",
        "bfloat16",
    ):
        assert name in result.stdout, name
    assert result.stdout.count("| training step") == 6  # two of parity, four of throughput
    assert "| curate measure, detected" in result.stdout


def test_without_a_gpu_the_message_names_the_dry_run() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    result = run()
    assert result.returncode == 1
    assert "--device cpu is a dry run" in result.stderr
