"""The start of a training from a checkpoint's generator."""

from pathlib import Path

from train import checkpoint
from train.build import Networks
from train.errors import CheckpointError


def start_from(path: Path, networks: Networks) -> None:
    """Load the moving average of a checkpoint's generator, and its latent centre, into networks of one architecture.

    Raises CheckpointError: no checkpoint, another architecture, or latents of another embedder.
    """
    state = checkpoint.read(path)
    if state.facts.embedder_id != networks.embedder.embedder_id:
        raise CheckpointError(
            f"--start {path}: its latents are of embedder {state.facts.embedder_id}, this training's of "
            f"{networks.embedder.embedder_id}: train with the same one (--embedder)"
        )
    try:
        checkpoint.restore(state, {"ema": networks.generator}, {})
    except CheckpointError as error:
        raise CheckpointError(f"--start {path} is of another architecture than the recipe: {error}") from error
    networks.centre.copy_(state.tensors["centre"])
