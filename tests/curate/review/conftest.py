"""A dataset that is decided, with doubts, copies, two persons in a folder, and two folders of one person."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from curate.decide.decide import DecideRequest, run
from curate.review.review import ReviewRequest, opened
from curate.review.session import Review
from tests.samples.photos import AS_GIVEN, Photo, related_dataset


def photo(identity: str, number: int, **values: object) -> Photo:
    return {"identity": identity, "image_id": f"{identity}/{number}.jpg", **values}


def of(identity: str, count: int, **values: object) -> list[Photo]:
    return [photo(identity, number, **values) for number in range(count)]


@pytest.fixture(scope="session")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two buckets: anna and bert; carla and dora, who is the same person, and one whose name is markup."""
    doubtful = {"wrong_person": 0.4, "suggested_identity": "bert", "nearest_identity": "bert"}
    copies = {"duplicate_group": 7}
    anna = [*of("anna", 4), photo("anna", 4, **doubtful), photo("anna", 5, **doubtful)]
    bert = [*of("bert", 2, **copies), photo("bert", 2, **copies, sharpness=0.1), *of("bert", 6)[3:]]
    carla = [*of("carla", 3, same_person_as="dora"), photo("carla", 3, person_group=2, same_person_as="dora")]
    dora = of("dora", 2, same_person_as="carla")
    odd = [photo('=<b>"x', 0, wrong_person=0.3)]
    for number, row in enumerate((*anna, *bert, *carla, *dora, *odd)):
        row["sha256"] = f"{number:064x}"
    out = related_dataset(tmp_path_factory.mktemp("review") / "out", [*anna, *bert], [*carla, *dora, *odd])
    run(DecideRequest(out, AS_GIVEN))
    return out


@pytest.fixture
def dataset(decided: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(decided, tmp_path / "out"))


@pytest.fixture
def review(dataset: Path) -> Iterator[Review]:
    """The dataset, opened."""
    with ExitStack() as stack:
        yield stack.enter_context(opened(ReviewRequest(dataset)))[0]
