"""A relate that was killed continues after its last whole pass, with the same result."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from curate import relate
from curate.relate.passes import Passes
from manifests.partials import PASSES
from tests.samples.dataset import write_dataset
from tests.samples.kills import killed_at
from tests.samples.listener import Recorder

STEPS_OF_A_FILE = 4
ORDER = ["identity centroids", "nearest identities", "refined centroids", "nearest identities", "duplicates"]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_dataset(tmp_path, {"anna": 4, "bert": 3, "carl": 5}, buckets=2)
    return tmp_path


def passes_of(dataset: Path) -> list[str]:
    """Relate the dataset; return the passes that were computed."""
    listener = Recorder()
    relate.run(relate.RelateRequest(dataset), listener)
    assert not (dataset / PASSES).exists()
    return [step.name for step in listener.steps if step.name != "writing relations"]


@pytest.mark.parametrize("finished", [0, 1, 3, 5])
def test_finished_passes_are_not_computed_again(finished: int, dataset: Path) -> None:
    assert passes_of(dataset) == ORDER
    expected = (dataset / "relations.parquet").read_bytes()
    (dataset / "relations.parquet").unlink()
    # The file of a pass has its name, and the next one is created.
    assert killed_at(finished * STEPS_OF_A_FILE + 1, lambda: relate.run(relate.RelateRequest(dataset)))
    assert len(list((dataset / PASSES).glob("*.npz"))) == finished
    assert passes_of(dataset) == ORDER[finished:]
    assert (dataset / "relations.parquet").read_bytes() == expected


def test_passes_of_other_settings_or_in_part_are_computed_again(dataset: Path) -> None:
    killed_at(4 * STEPS_OF_A_FILE + 1, lambda: relate.run(relate.RelateRequest(dataset)))
    for path in (dataset / PASSES).glob("refined-*.npz"):
        path.write_bytes(path.read_bytes()[:-40])
    assert passes_of(dataset) == ORDER[2:]
    killed_at(4 * STEPS_OF_A_FILE + 1, lambda: relate.run(relate.RelateRequest(dataset)))
    (dataset / "overrides.csv").write_text("image_id,verdict,identity\nanna/0000.jpg,move,bert\n")
    assert passes_of(dataset) == ORDER


@dataclass
class Part:
    numbers: npt.NDArray[np.int64]
    names: list[str]


def test_a_pass_with_a_damaged_byte_is_computed_again(tmp_path: Path) -> None:
    passes, parts = Passes(tmp_path), [Part(np.arange(3), ["a"]), Part(np.arange(0), [])]
    passes.result("pass", Part, lambda: parts)
    stored = passes.result("pass", Part, lambda: pytest.fail("computed"))
    assert [(part.numbers.tolist(), part.names) for part in stored] == [([0, 1, 2], ["a"]), ([], [])]

    (path,) = (tmp_path / PASSES).iterdir()
    content = path.read_bytes()
    for place in range(0, len(content), 23):  # headers of the archive, names, and numbers
        path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        assert passes.result("pass", Part, lambda: parts) is parts
