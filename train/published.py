"""Published SimSwap generators as checkpoints: architecture from names and shapes, everything else from the caller.

The state dicts hold no pixel space and no embedder, on which every output depends. They are stated when a file is
imported, and recorded in the checkpoint.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from curate.faces.models import load_embedder
from curate.faces.torch_file import UnreadableTorchFileError, read_state_dict
from manifests.output import require_absent
from manifests.partials import remove_partials_of
from train import checkpoint
from train.build import build_generator
from train.checkpoint import Checkpoint, CheckpointFacts
from train.config import Recipe
from train.errors import CheckpointError
from train.networks.face_generator import IoSpace

_PREFIXES = ("module.", "netG.")
"""Prefixes of all names in files of training programs."""


def import_published(path: Path, out: Path, embedder: str | Path, io_space: IoSpace = "rgb01_tanh") -> CheckpointFacts:
    """Write a checkpoint for `swap`, `evaluate`, `export` and `fit --start` from a published generator's weights.

    Args:
        path: a PyTorch state dict; it is read without running code in it.
        out: the checkpoint to write.
        embedder: name or file of the face embedder that the generator was trained with.
        io_space: rgb01_tanh for the published 224 and 512 weights, imagenet for the later training code's.

    Raises:
        CheckpointError: not a state dict of a SimSwap generator, or an embedder of another dimension.
        ModelError: the embedder is unknown or missing.
        OutputError: `out` exists, or cannot be written.
    """
    require_absent(out)
    weights = _read_state_dict(path)
    recipe, latent_dim = recognise(weights, path, io_space)
    loaded = load_embedder(embedder)
    if loaded.dim != latent_dim:
        raise CheckpointError(
            f"{path} takes latents of {latent_dim} numbers, and embedder {loaded.name} gives {loaded.dim}: name the "
            "embedder that the generator was trained with"
        )
    with torch.device("meta"):
        network = build_generator(recipe, latent_dim)
    try:
        network.load_state_dict(weights, strict=True, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit SimSwap's generator: {error}") from error
    # 0 images: how many it was trained on is not in the file.
    facts = CheckpointFacts(recipe, None, loaded.embedder_id, latent_dim, 0)
    tensors = {f"ema.{name}": tensor for name, tensor in weights.items()} | {"centre": torch.zeros(latent_dim)}
    remove_partials_of(out)
    checkpoint.write(out, Checkpoint(tensors, facts, {}, {}))
    return facts


def recognise(weights: Mapping[str, Tensor], path: Path, io_space: IoSpace) -> tuple[Recipe, int]:
    """The recipe of a generator with these weights, and the dimension of its latents.

    Raises CheckpointError where the names are not those of a SimSwap generator.
    """
    try:
        stem, style = weights["first_layer.1.weight"], weights["BottleNeck.0.style1.linear.weight"]
    except KeyError as error:
        shown = ", ".join(sorted(weights)[:3]) or "nothing"
        raise CheckpointError(
            f"{path} has no {error.args[0]}, so it is not SimSwap's generator (it has {shown}, ...): give the file of "
            "the generator, which is called ..._net_G.pth"
        ) from error
    variant = "512" if "down0.0.weight" in weights else "deep" if "down4.0.weight" in weights else "224"
    blocks = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("BottleNeck."))
    recipe = Recipe(
        size=224 if variant == "224" else 512,
        template="simswap-224" if variant == "224" else "ffhq-512",
        variant=variant,
        blocks=blocks,
        width=stem.shape[0] * (2 if variant == "512" else 1),
        io_space=io_space,
        centre_above=1.0,  # the published latents are not centred
        held_out=0,  # whom it was trained on is not in the file, so no one counts as held out
    )
    return recipe, style.shape[1]


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, without the prefixes of training programs."""
    try:
        state = read_state_dict(path, CheckpointError)
    except UnreadableTorchFileError as error:
        raise CheckpointError(f"{path} is not a PyTorch state dict ({error}): give the generator's file") from error
    weights = {name: tensor.contiguous() for name, tensor in state.items()}
    for prefix in _PREFIXES:
        if weights and all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    return weights
