"""An audit: its draw, its judgements, and the record in the manifest's footer."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from curate.audit.audit import AuditRequest, drawn, record_result
from curate.audit.audit import run as audit
from curate.audit.draw import DROPPED, KEPT, allocation, draw
from curate.audit.judgements import Judgements
from curate.audit.record import ANY, stored_audit
from curate.audit.result import result_of
from curate.decide.decide import DecideRequest, run
from curate.review.review import ReviewRequest, opened
from manifests.errors import DatasetError
from manifests.layout import MANIFEST
from manifests.reader import Dataset
from manifests.records import InvalidRecordError
from manifests.table_file import footer
from tests.samples.photos import AS_GIVEN, related_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 photos of four persons: 160 kept, of which 20 are doubtful, 40 blurred ones dropped."""
    random = np.random.default_rng(0)
    photos = []
    for number in range(200):
        name = "abcd"[number % 4]
        values = {"wrong_person": 0.06} if number < 20 else {"sharpness": 0.1} if number >= 160 else {}
        photos.append({"identity": name, "image_id": f"{name}/{number}.jpg", "sha256": f"{number:064x}", **values})
    random.shuffle(photos)
    photos.sort(key=lambda photo: str(photo["identity"]))
    out = related_dataset(tmp_path_factory.mktemp("audit") / "out", photos)
    run(DecideRequest(out, AS_GIVEN))
    return out


@pytest.fixture
def judgements(dataset: Path) -> Iterator[Judgements]:
    with opened(ReviewRequest(dataset)) as (review, opened_):
        file = drawn(AuditRequest(dataset, kept=50, dropped=20), review, opened_)
        yield file
        file.close()
        file.path.unlink()


def judge_all(judgements: Judgements, annotator: str, wrong: int = 0) -> None:
    for number in range(len(judgements.draw.photos)):
        judgements.judge(annotator, number, "other_person" if number < wrong else "right")


def test_doubtful_photos_are_drawn_more_often_and_in_a_random_order(judgements: Judgements) -> None:
    counts = Counter((photo.population, photo.stratum) for photo in judgements.draw.photos)
    assert judgements.draw.sizes == {KEPT: [0, 140, 20, 0], DROPPED: [0, 40, 0, 0]}
    assert counts[KEPT, 1] + counts[KEPT, 2] == 50
    assert counts[KEPT, 2] / 20 > counts[KEPT, 1] / 140
    assert counts[DROPPED, 1] == 20
    assert {photo.population for photo in judgements.draw.photos[:15]} == {KEPT, DROPPED}
    assert len({photo.image_id for photo in judgements.draw.photos}) == 70


def test_a_draw_depends_on_its_seed_alone(dataset: Path) -> None:
    with opened(ReviewRequest(dataset)) as (review, _):
        first, again, other = (draw(review.index, seed, "basis", 30, 0) for seed in (1, 1, 2))
    assert first == again
    assert first.photos != other.photos


@pytest.mark.parametrize("count", [20, 60, 300, 5000])
def test_every_stratum_is_drawn_from(count: int) -> None:
    sizes = [4000, 0, 90, 3]
    numbers = allocation(sizes, count)
    assert sum(numbers) == min(count, sum(sizes))
    assert all(0 < number <= size for number, size in zip(numbers, sizes, strict=True) if size)
    assert numbers[1] == 0


def test_an_audit_continues_after_a_kill(judgements: Judgements) -> None:
    judgements.judge("anna", 0, "right")
    judgements.judge("anna", 1, "blurred")
    assert judgements.undo("anna") == 1
    judgements.judge("ben", 0, "right")
    with judgements.path.open("ab") as file:
        file.write(b'{"annotator":"anna","num')  # cut off by the kill
    again = Judgements(judgements.path, judgements.draw)
    assert again.given == {"anna": {0: "right"}, "ben": {0: "right"}}
    assert again.next_of("anna") == 1


def test_unknown_answers_and_another_draw_are_refused(judgements: Judgements) -> None:
    for number, kind in ((0, "nice"), (70, "right"), (-1, "right")):
        with pytest.raises(InvalidRecordError):
            judgements.judge("anna", number, kind)
    judgements.path.write_bytes(judgements.path.read_bytes().replace(b'"seed": 0', b'"seed": 7'))
    with pytest.raises(DatasetError, match=r"line 1: damaged \(it is of another draw\); restore it, or remove it"):
        Judgements(judgements.path, judgements.draw)


def test_the_result_is_in_the_footer_until_the_verdicts_change(dataset: Path, judgements: Judgements) -> None:
    judge_all(judgements, "anna", wrong=4)
    judge_all(judgements, "ben", wrong=2)
    judgements.judge("carl", 0, "right")  # has not finished
    record = result_of(judgements)
    assert [result.annotator for result in record.results] == ["anna", "ben"]
    assert record.agreements[0].alike == 68 / 70
    kept = record.results[0].populations[0]
    assert (kept.judged, kept.photos) == (50, 160)
    assert kept.share(ANY).low < kept.share("other_person").share == kept.share(ANY).share < kept.share(ANY).high
    rows = Dataset.open(dataset).manifest()
    record_result(Dataset.open(dataset), record)
    assert stored_audit(footer(dataset / MANIFEST) or {}) == record
    assert Dataset.open(dataset).manifest().equals(rows)
    run(DecideRequest(dataset, AS_GIVEN))
    assert stored_audit(footer(dataset / MANIFEST) or {}) == record
    (dataset / "overrides.csv").write_text("image_id,verdict\na/0.jpg,drop\n")
    run(DecideRequest(dataset, AS_GIVEN))
    assert stored_audit(footer(dataset / MANIFEST) or {}) is None
    (dataset / "overrides.csv").unlink()
    run(DecideRequest(dataset, AS_GIVEN))


def test_a_finished_audit_needs_no_page(dataset: Path) -> None:
    request = AuditRequest(dataset, kept=50, annotator="anna")
    with opened(ReviewRequest(dataset)) as (review, opened_):
        judgements = drawn(request, review, opened_)
        judge_all(judgements, "anna")
        judgements.close()
    audited = audit(request)
    assert (audited.photos, audited.judged) == (50, 50)
    assert audited.record.lines()[1].startswith("  any             0.00%  (95%: 0.00-")


def test_an_audit_without_photos_is_refused(tmp_path: Path) -> None:
    blurred = [{"identity": "a", "image_id": "a/1.jpg", "sha256": f"{1:064x}", "sharpness": 0.1}]
    out = related_dataset(tmp_path / "out", blurred)
    run(DecideRequest(out, AS_GIVEN))
    with pytest.raises(DatasetError, match="there is no photo to judge"):
        audit(AuditRequest(out))
    assert not list((out / "review").glob("audit-*"))


def test_samples_that_are_too_small_are_refused(dataset: Path) -> None:
    with pytest.raises(ValueError, match="draw at least 20"):
        AuditRequest(dataset, kept=5)
    with pytest.raises(ValueError, match="name is empty"):
        AuditRequest(dataset, annotator=" ")
