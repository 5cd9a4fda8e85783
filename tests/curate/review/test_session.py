"""Actions: what the page shows is what `decide` decides, and undoing gives the same bytes."""

import os
from pathlib import Path
from random import Random

import numpy as np
import pytest

from curate.decide.decide import DecideRequest, run
from curate.errors import BusyError
from curate.review.actions import RefusedError
from curate.review.index import PhotoIndex, load_index
from curate.review.queues import first_queue, menu, screens
from curate.review.review import ReviewRequest, opened
from curate.review.screens import photo, screen
from curate.review.session import Review
from manifests.reader import Dataset
from manifests.schema import VERDICTS
from tests.samples.photos import AS_GIVEN


def rows(review: Review, *names: str) -> np.ndarray:
    return np.array(list(review.index.rows_of(names).values()), np.int64)


def code(review: Review, name: str) -> int:
    return review.index.names.code(name)


def verdicts(review: Review) -> dict[str, tuple[str, str]]:
    index = review.index
    return {
        image_id: (VERDICTS[verdict], index.names.names[identity])
        for image_id, verdict, identity in zip(
            index.image_id.to_pylist(), index.verdict().tolist(), index.identity.tolist(), strict=True
        )
    }


def decided(dataset: Path) -> dict[str, tuple[str, str]]:
    run(DecideRequest(dataset, AS_GIVEN))
    rows = Dataset.open(dataset).manifest(["image_id", "verdict", "identity"]).to_pylist()
    return {row["image_id"]: (row["verdict"], row["identity"]) for row in rows}


def random_action(review: Review, random: Random) -> None:
    """Do something, or be refused."""
    index = review.index
    chosen = np.array(random.sample(range(len(index)), random.choice([1, 1, 1, 3])), np.int64)
    people = [random.randrange(len(index.names.names)) for _ in range(2)]
    action = random.choice(["keep", "drop", "move", "split", "reset", "not_copy", "join", "apart"])
    review.act(action, chosen if action not in ("join", "apart") else chosen[:0], "tab", *people)


@pytest.mark.parametrize("seed", range(2))
def test_the_page_agrees_with_decide_and_undoing_gives_the_same_bytes(dataset: Path, seed: int) -> None:
    random = Random(seed)
    by_hand = "image_id,verdict,note,identity,other\r\nanna/1.jpg,keep,by hand,,\r\n\r\nbert/1.jpg,drop,,,\r\n"
    (dataset / "overrides.csv").write_bytes(by_hand.encode())
    with opened(ReviewRequest(dataset)) as (review, _):
        done = 0
        while done < 40:
            try:
                random_action(review, random)
                done += 1
            except RefusedError:
                continue
        review.write_overrides()
        assert verdicts(review) == decided(dataset)
        acted = review.document.text()
        for step in (review.undo, review.redo):
            for _ in range(done):
                assert step("tab") is not None
            assert step("tab") is None
        assert review.document.text() == acted
        for _ in range(done):
            assert review.undo("tab") is not None
        assert review.undo("tab") is None
        review.write_overrides()
        assert (dataset / "overrides.csv").read_bytes() == by_hand.encode()
        assert verdicts(review) == decided(dataset)
        fresh = load_index(Dataset.open(dataset), AS_GIVEN, review.document)
        assert states(fresh) == states(review.index)


def states(index: PhotoIndex) -> list[tuple[object, ...]]:
    names = index.names.names
    columns = [index.image_id.to_pylist(), index.reasons, index.human, index.moved, index.doubt, index.copy_of]
    columns += [[names[k] if k >= 0 else None for k in codes] for codes in (index.identity, index.same_as)]
    return list(zip(*(np.asarray(column).tolist() for column in columns), strict=True))


def test_counts_follow_every_action(review: Review) -> None:
    before = review.counts
    change = review.act("drop", rows(review, "anna/0.jpg", "anna/4.jpg"), "tab")
    assert change.counts == (before[0] - 1, before[1] - 1, before[2] + 2, before[3] - 1)
    assert review.undo("tab").counts == before


def test_a_move_goes_to_the_suggested_identity_and_a_split_to_a_new_one(review: Review) -> None:
    review.act("move", rows(review, "anna/4.jpg"), "tab", code(review, "anna"), code(review, "bert"))
    review.act("split", rows(review, "carla/3.jpg"), "tab", code(review, "carla"))
    assert verdicts(review)["anna/4.jpg"] == ("keep", "bert")
    assert verdicts(review)["carla/3.jpg"] == ("keep", "carla (2)")


def test_the_kept_photo_of_a_group_follows_a_person(review: Review) -> None:
    assert [verdicts(review)[f"bert/{k}.jpg"][0] for k in range(3)] == ["keep", "drop", "drop"]
    review.act("keep", rows(review, "bert/1.jpg"), "tab")
    assert [verdicts(review)[f"bert/{k}.jpg"][0] for k in range(3)] == ["drop", "keep", "drop"]
    review.undo("tab")
    review.act("not_copy", rows(review, "bert/1.jpg"), "tab")
    assert [verdicts(review)[f"bert/{k}.jpg"][0] for k in range(3)] == ["keep", "keep", "drop"]


def test_refusals_say_why(review: Review) -> None:
    with pytest.raises(RefusedError, match="this photo is no copy: choose the copy"):
        review.act("not_copy", rows(review, "bert/0.jpg"), "tab")
    with pytest.raises(RefusedError, match="no identity is suggested"):
        review.act("move", rows(review, "anna/0.jpg"), "tab")
    review.act("join", rows(review), "tab", code(review, "carla"), code(review, "dora"))
    with pytest.raises(RefusedError, match="decided already"):
        review.act("join", rows(review), "tab", code(review, "carla"), code(review, "dora"))


def test_all_photos_of_a_queue_are_decided_at_once(review: Review) -> None:
    change = review.act_on_queue("keep", "doubtful", "tab")
    assert (change.photos, change.counts[3]) == (4, 0)
    assert verdicts(review)["anna/5.jpg"][0] == "keep"


def test_queues_list_what_is_to_decide(review: Review) -> None:
    counts = {queue.name: queue.count for queue in menu(review.index, review.document)}
    assert (counts["doubtful"], counts["second"], counts["pairs"], counts["copies"]) == (4, 1, 1, 1)
    titles = [entry.title for entry in screens("doubtful", review.index, review.document, review.dataset)]
    assert set(titles) == {"anna", "carla", '=<b>"x'}
    assert first_queue(review.index, review.document) == "doubtful"
    review.act_on_queue("keep", "doubtful", "tab")
    assert first_queue(review.index, review.document) == "pairs"
    review.act("apart", rows(review), "tab", code(review, "carla"), code(review, "dora"))
    assert screens("pairs", review.index, review.document, review.dataset) == []


@pytest.mark.parametrize(
    ("terms", "photos"),
    [
        ("identity = carla and person_group = 2", ["carla/3.jpg"]),
        ("sharpness < 0.5", ["bert/2.jpg"]),
        ("reasons = uncertain_person and identity ~ ANN", ["anna/4.jpg", "anna/5.jpg"]),
        ("verdict = drop and image_id ~ bert/1", ["bert/1.jpg"]),
    ],
)
def test_filters_on_columns(review: Review, terms: str, photos: list[str]) -> None:
    (entry,) = screens(f"filter:{terms}", review.index, review.document, review.dataset)
    shown = screen(review, entry.key, f"filter:{terms}")
    assert [tile["name"] for tile in shown["groups"][0]["photos"]] == photos


def test_a_screen_shows_reasons_numbers_and_the_suggested_identity(review: Review) -> None:
    shown = screen(review, f"person:{code(review, 'anna')}", "doubtful")
    tile = shown["groups"][0]["photos"][0]
    assert tile["why"][0].startswith("uncertain person: wrong person 0.4, own similarity 0.7")
    assert shown["people"][str(tile["suggested"])]["name"] == "bert"
    about = photo(review, tile["row"])
    assert ["eye_distance", "60", "source px", "distance between the eyes"] in about["numbers"]


def test_a_second_review_names_the_process_and_the_address_of_the_first(dataset: Path) -> None:
    address = dataset / "review" / "address"
    address.parent.mkdir(exist_ok=True)
    address.write_text("http://127.0.0.1:1/?token=of-a-killed-one")
    with opened(ReviewRequest(dataset)):
        assert not address.exists()
        with pytest.raises(BusyError, match=rf"open already .*process {os.getpid()}\): wait until it ends"):
            opened(ReviewRequest(dataset)).__enter__()
        address.write_text("http://127.0.0.1:2/?token=t")
        with pytest.raises(BusyError, match=r"open http://127.0.0.1:2/\?token=t for a second window, or end"):
            opened(ReviewRequest(dataset)).__enter__()
