"""512 px: a dataset of ffhq-512 crops, the recipe's dry run, and a few steps of a narrow network."""

from dataclasses import replace
from pathlib import Path

import pytest

from manifests.layout import SettingsRecord, write_info
from tests.samples import dataset as samples
from train import checkpoint, fit
from train.config import load_recipe


def test_crops_of_512_px_are_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jpeg, png = samples.jpeg, samples.png
    monkeypatch.setattr(samples, "jpeg", lambda seed: jpeg(seed, 512))
    monkeypatch.setattr(samples, "png", lambda seed: png(seed, 512))
    data = tmp_path / "curated"
    samples.write_dataset(data, {"ann": 4, "bob": 4})
    write_info(data, replace(samples.dataset_info(2), settings=SettingsRecord("ffhq-512")))

    recipe = replace(load_recipe("simswap-512"), embedder="builtin")
    request = fit.FitRequest(data, recipe, tmp_path / "run", "cpu", workers=1)
    lines = fit.describe(fit.plan(request))
    (generator,) = [line for line in lines if line.startswith("generator ") and "multiply-adds" in line]
    assert float(generator.split()[3]) == pytest.approx(70.1, abs=0.2)  # G multiply-adds

    small = {"blocks": 1, "width": 8, "discriminator_width": 4, "discriminator_scales": 1}
    small |= {"batch": 2, "accumulate": 1, "images": 4, "log_steps": 1, "ema_images": 1}
    request = replace(request, recipe=replace(recipe, **small))  # type: ignore[arg-type]
    facts = checkpoint.read(fit.run(fit.plan(request))).facts
    assert (facts.images, facts.recipe.size, facts.recipe.variant) == (4, 512, "512")
    assert (tmp_path / "run" / "samples" / "000000000004.png").is_file()
