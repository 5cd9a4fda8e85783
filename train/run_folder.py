"""The folder of a run: `run.json` records recipe and data, so that no folder holds two different trainings."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from manifests.errors import OutputError
from manifests.output import atomic
from manifests.partials import is_temporary
from manifests.records import read_record
from train.checkpoint import RunFacts
from train.errors import CheckpointError

RUN = "run.json"


@dataclass(frozen=True)
class RecordedRun:
    """`RunFacts` as they are recorded; the recipe may be of another version and have other keys."""

    recipe: dict[str, Any]
    policy_hash: str | None
    embedder_id: str
    latent_dim: int
    selection: str | None = None


def record_run(out: Path, facts: RunFacts) -> None:
    """Record `facts` in an empty folder, or check that they are recorded there.

    Raises OutputError: the folder holds other files. CheckpointError: it is of another training, or damaged.
    """
    path = out / RUN
    if not path.exists():
        others = sorted(entry.name for entry in out.iterdir() if not is_temporary(entry.name))
        if others:
            raise OutputError(f"{out} holds other files ({others[0]}) and no {RUN}: choose another --out")
        with atomic(path) as partial:
            partial.write_text(json.dumps(facts.to_json(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return
    recorded = read_record(path, RecordedRun, CheckpointError, "restore it, or choose another --out")
    require_same(facts, recorded, path)


def recorded_run(facts: RunFacts) -> RecordedRun:
    """Return the facts of a checkpoint in the form in which `require_same` compares them."""
    return RecordedRun(asdict(facts.recipe), facts.policy_hash, facts.embedder_id, facts.latent_dim, facts.selection)


def require_same(facts: RunFacts, recorded: RecordedRun, path: Path) -> None:
    """Raise CheckpointError unless `recorded`, read from `path`, are the facts of this training."""
    differences = facts.recipe.differences(recorded.recipe)
    if differences:
        raise CheckpointError(
            f"{path} is of a training by another recipe ({'; '.join(differences)}): continue it with its own recipe "
            "and options, or choose another --out"
        )
    if recorded.policy_hash != facts.policy_hash:
        raise CheckpointError(
            f"{path} is of a training on data of another policy ({recorded.policy_hash}, here {facts.policy_hash}): "
            "decide by that policy again, or choose another --out"
        )
    if recorded.selection != facts.selection:
        before, now = (digest[:12] if digest else "all kept photos" for digest in (recorded.selection, facts.selection))
        raise CheckpointError(
            f"{path} is of a training on other photos (--selection: {before}, here {now}): give the same "
            "selection, or choose another --out"
        )
    if recorded.embedder_id != facts.embedder_id:
        raise CheckpointError(
            f"{path} is of a training with another embedder ({recorded.embedder_id}, here {facts.embedder_id}): "
            "train with that embedder, or choose another --out"
        )
