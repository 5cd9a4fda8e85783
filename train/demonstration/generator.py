"""The generator that ships with the package: `train/weights/people.safetensors`, described in `people.md` beside it."""

from importlib.resources import files
from pathlib import Path

from train.errors import CheckpointError

LICENCE = "research use only"


def demonstration_checkpoint() -> Path:
    """Path of the checkpoint. Raises CheckpointError where the package was installed without it."""
    path = Path(str(files("train") / "weights" / "people.safetensors"))
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: install swapset again, or give a --checkpoint of your own")
    return path


def demonstration_people() -> tuple[str, ...]:
    """Names of the people that it swaps to."""
    from train import checkpoint
    from train.networks.people import parse_people

    return parse_people(checkpoint.read(demonstration_checkpoint()).facts.recipe.people)
