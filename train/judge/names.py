"""Names of candidates in results. Imports nothing heavy."""

from collections.abc import Sequence
from pathlib import Path

from train.errors import CheckpointError

_RESERVED = ("baseline", "target", "blend")


def name_candidates(values: Sequence[str]) -> dict[str, Path]:
    """Files of candidates by name, from texts FILE or NAME=FILE, in their order.

    Without a name, a checkpoint RUN/checkpoints/000000020000.safetensors is called "RUN 20000", another file by its
    name without the suffix.

    Raises CheckpointError: two candidates have one name, or the name is that of a baseline of the evaluation.
    """
    candidates: dict[str, Path] = {}
    for value in values:
        name, separator, file = value.partition("=")
        if separator and not Path(value).exists():
            path = Path(file)
        else:
            path = Path(value)
            name = _default_name(path)
        name = name.strip()
        if not name or name.split()[0] in _RESERVED:
            raise CheckpointError(f"--checkpoint {value}: {name!r} is taken or empty: give NAME=FILE with another name")
        if name in candidates:
            raise CheckpointError(
                f"--checkpoint {value}: another one is called {name!r} too: give NAME=FILE with another name"
            )
        candidates[name] = path
    return candidates


def _default_name(path: Path) -> str:
    if path.stem.isdigit() and path.parent.name == "checkpoints":
        return f"{path.resolve().parent.parent.name} {int(path.stem)}"
    return path.stem
