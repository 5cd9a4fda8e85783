"""Exports the generator of a checkpoint to ONNX, with metadata on its inputs."""

import base64
import importlib.util
import json
import warnings
from dataclasses import asdict
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from curate.errors import ModelError
from manifests.output import atomic, require_absent
from manifests.partials import remove_partials_of
from train.errors import CheckpointError
from train.networks.face_generator import FaceGenerator
from train.trained import load_network

OPSET = 18


class _RgbGenerator(nn.Module):
    """A generator with RGB in [0, 1] as input and output, whatever its own pixel space."""

    def __init__(self, generator: FaceGenerator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, target: Tensor, latent: Tensor) -> Tensor:
        image = self.generator(self.generator.to_input(target), latent)
        return self.generator.to_rgb01(image).clamp(0, 1)


def export_generator(checkpoint: Path, out: Path) -> int:
    """Write the ONNX file `out`; returns its size in bytes.

    Inputs: `target` float32 (N, 3, S, S), RGB in [0, 1]; `latent` float32 (N, D), normalize(embedding - centre),
    followed by 3 S^2 numbers for generators that read the source: its crop warped to the target's landmarks, RGB in
    [0, 1], channels first (`train.networks.source_warp`).
    Output: `swapped`, like target; not registered (`train.swap.registration`), which `simswap swap` does afterwards. N
    is dynamic. Metadata: swapset.size, .template, .embedder_id, .recipe (JSON) and .centre (base64 of D little-endian
    float32).

    Raises:
        CheckpointError: Not a checkpoint, or its generator cannot be expressed as one ONNX graph.
        ModelError: The exporter is not installed.
        OutputError: `out` exists, or cannot be written.
    """
    require_absent(out)
    if importlib.util.find_spec("onnxscript") is None:
        raise ModelError("torch's ONNX exporter needs the package onnxscript: install it, then run the same command")
    trained = load_network(checkpoint)
    recipe, size = trained.recipe, trained.size
    if recipe.generator == "diffusion" or trained.input_mask is not None:
        raise CheckpointError(
            f"{checkpoint}: ONNX export supports generators that swap in one pass and see the whole target; the recipe "
            f"of this one has generator = {recipe.generator!r}, masked = {recipe.masked!r}"
        )
    example = torch.rand(2, 3, size, size), nn.functional.normalize(torch.rand(2, trained.network.condition_dim))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _RgbGenerator(trained.network).eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=["target", "latent"],
            output_names=["swapped"],
            dynamic_shapes={"target": {0: "n"}, "latent": {0: "n"}},
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    centre = trained.centre.numpy().astype("<f4").tobytes()
    metadata = {
        "size": str(size),
        "template": recipe.template,
        "embedder_id": trained.facts.embedder_id,
        "centre": base64.b64encode(centre).decode(),
        "recipe": json.dumps(asdict(recipe), sort_keys=True),
    }
    onnx.helper.set_model_props(model, {f"swapset.{key}": value for key, value in metadata.items()})
    onnx.checker.check_model(model)
    remove_partials_of(out)
    with atomic(out) as partial:
        partial.write_bytes(model.SerializeToString())
    return out.stat().st_size
