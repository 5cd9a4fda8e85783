"""A run of the segmenter's training on random photos: log, checkpoint, resume and export."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from curate.faces.segment import CLASSES, read_weights
from train.perception.recipe import FINE_TUNING
from train.perception.segmenter import export
from train.perception.training import SegmenterOptions, train


def test_a_run_continues_is_exported_and_starts_another(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for folder, suffix in (("images", "jpg"), ("masks", "png")):
        (tmp_path / folder).mkdir()
        for number in range(10):
            values = random.integers(0, len(CLASSES), (32, 32, 3) if suffix == "jpg" else (32, 32), np.uint8)
            Image.fromarray(values).save(tmp_path / folder / f"{number}.{suffix}")
    for images in (4, 8):
        train(SegmenterOptions(tmp_path, tmp_path / "run", images=images, batch=4, log_every=4, test_every=4))
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [4, 4, 8, 8]
    assert all(np.isfinite(line["loss"]) for line in lines if "loss" in line)
    options = SegmenterOptions(tmp_path, tmp_path / "run")
    export(options.checkpoint, tmp_path / "segmenter.safetensors", options)
    _, metadata = read_weights(tmp_path / "segmenter.safetensors")
    assert "research use only" in metadata["licence"]

    tuned = SegmenterOptions(
        tmp_path, tmp_path / "tuned", images=4, batch=4, test_every=4, start=tmp_path / "segmenter.safetensors"
    )
    assert tuned.phases is FINE_TUNING
    train(tuned)
    first, second = (torch.load(tmp_path / run / "last.pt", weights_only=True) for run in ("run", "tuned"))
    name = "segmentation_head.0.weight"
    assert torch.allclose(first["average"][name], second["average"][name], atol=0.01)  # not from random weights
    export(tuned.checkpoint, tmp_path / "blend.safetensors", tuned, share=0.25)
    blend, _ = read_weights(tmp_path / "blend.safetensors")
    between = torch.lerp(first["average"][name], second["average"][name], 0.25)
    assert torch.allclose(blend[name].float(), between, atol=1e-3)
