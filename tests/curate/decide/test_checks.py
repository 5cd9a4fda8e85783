"""CHECKS: a collection for each check, and none that fires on clean collections."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from curate.commands.cleaning import decide
from curate.decide.check import Check, Finding
from curate.decide.checks import CHECKS, MIN_PHOTOS, findings
from curate.decide.collection import TablePart, decide_collection
from curate.decide.collection_numbers import CollectionNumbers, CollectionTally
from curate.decide.decide import DecideRequest, run
from curate.decide.dominant_reasons import ADVICE
from curate.decide.footer import stored_findings
from curate.decide.policy import load_policy
from curate.decide.rules import REVIEW_REASONS, RULES, Policy
from curate.errors import ChecksError
from manifests.layout import SourceRecord
from manifests.schema import REASONS
from manifests.table_file import footer
from tests.conftest import Cleaned
from tests.samples.photos import related_dataset, tables

Photos = list[dict[str, Any]]

STRANGER = {"wrong_person": 0.98, "identity_purity": 0.04}
EXAMPLES: dict[str, dict[str, Any]] = {
    "undecodable": {"error": "not an image", "face_id": None},
    "no_face": {"face_id": None, "sharpness": None, "stretch": None},
    "too_small": {"eye_distance": 9.0},
    "blurred": {"sharpness": 0.2},
    "stretched": {"stretch": 1.5},
    "cut_off": {"inside": 0.1},
    "occluded": {"mouth_covered": 0.9},
    "corrupt_pixels": {"corruption": 0.2},
    "too_dark": {"clipped_dark": 0.6},
    "too_bright": {"clipped_bright": 0.6},
    "other_person": {"wrong_person": 0.9},
    "mixed_identity": {"identity_purity": 0.2, "identity_size": 3},
    "excluded": {"excluded_by": "gallery/x.jpg", "excluded_similarity": 0.6},
}
"""What makes a good photo one with this reason."""


def person(name: str, photos: int, **changes: Any) -> Photos:
    """Good photos of a person, with changes."""
    common = {"identity": name, "identity_size": photos, **changes}
    return [{**common, "image_id": f"{name}/{index}.jpg"} for index in range(photos)]


def people(count: int, photos: int = 10, **changes: Any) -> Photos:
    return [photo for index in range(count) for photo in person(f"person {index}", photos, **changes)]


def checked(photos: Photos, policy: Policy | None = None, ignored: dict[str, int] | None = None) -> tuple[Finding, ...]:
    policy = policy or Policy()
    collection = decide_collection([TablePart(*tables(*photos))], policy)
    tally = CollectionTally([rule.reason for rule in RULES])
    for table in collection.tables():
        tally.add(table)
    limit = collection.sharpness_limits.typical
    return findings(tally.numbers(limit if limit < policy.min_sharpness else float("nan"), ignored or {}))


def names(found: Sequence[Finding]) -> list[str]:
    return [finding.check for finding in found]


@pytest.mark.parametrize("reason", EXAMPLES)
def test_a_dominant_reason_is_named_with_its_cause(reason: str) -> None:
    policy = Policy(adapt_sharpness=False, max_mouth_covered=0.5)
    photos = [*people(5), *person("zoe", 40, **EXAMPLES[reason])]
    found = checked(photos, policy)
    assert names(found) == [f"mostly_{reason}"]
    assert found[0].observation == f"40 of 90 photos are {reason}, nearly all that are dropped"
    assert checked([*people(5), *person("zoe", 15, **EXAMPLES[reason])], policy) == ()


@pytest.mark.parametrize(("reason", "sha256"), [("duplicate", "0" * 64), ("near_duplicate", None)])
def test_copies_that_dominate_are_named(reason: str, sha256: str | None) -> None:
    copies = [
        {**photo, "duplicate_group": index // 2, "sha256": sha256 or f"{index:064x}"}
        for index, photo in enumerate(people(6))
    ]
    assert names(checked(copies)) == [f"mostly_{reason}"]


def test_more_than_half_dropped_for_several_reasons() -> None:
    photos = [*people(4), *person("yan", 30, eye_distance=5.0), *person("zoe", 30, clipped_dark=0.9)]
    (finding,) = checked(photos)
    assert finding.check == "half_dropped"
    assert finding.observation == "60 of 100 (60%) photos are dropped (30 too_small, 30 too_dark)"


@pytest.mark.parametrize("split", ["train", "Test", "val_set", "images1024x1024", "img_align_celeba", "photos"])
def test_folders_named_like_splits_explain_all_that_follows(split: str) -> None:
    (finding,) = checked([*person(split, 12, same_person_as="val", **STRANGER), *person("val", 6, **STRANGER)])
    assert finding.check == "split_names"
    assert f"{split} (12 photos), val (6 photos)" in finding.observation


def test_a_person_named_like_a_split_among_others_is_no_finding() -> None:
    assert checked([*people(3), *person("Val", 10)]) == ()


def test_numbered_folders_of_strangers_are_the_layout_of_ffhq() -> None:
    (finding,) = checked([*person("00000", 12, **STRANGER), *person("01000", 12, **STRANGER)])
    assert finding.check == "numbered_folders"
    loose = STRANGER | {"identity_purity": 0.3}
    (finding,) = checked([*person("00000", 12, **loose), *person("01000", 12, **loose)])
    assert finding.check == "numbered_folders"
    assert checked([*person("00000", 12), *person("01000", 12)]) == ()  # numbered persons, as in CASIA-WebFace


def test_a_folder_of_strangers_is_named() -> None:
    (finding,) = checked([*people(4), *person("search results", 8, **STRANGER)])
    assert finding.check == "strangers"
    assert finding.observation == "no two faces agree in 1 of 5 folders: search results (8 photos)"
    assert checked([*people(4), *person("three", 3, **STRANGER)]) == ()


def test_a_folder_of_two_persons_is_named() -> None:
    mixed = [*person("ann", 5, person_group=1), *person("bob", 3, person_group=2)]
    mixed = [{**photo, "identity": "couple", "image_id": f"couple/{k}.jpg"} for k, photo in enumerate(mixed)]
    (finding,) = checked([*people(4), *mixed])
    assert finding.check == "two_persons"
    assert finding.observation == "1 of 5 folders shows two persons: couple (5 + 3 photos)"


def test_one_person_in_many_folders_is_named() -> None:
    twins = [photo for index in range(4) for photo in person(f"anna {index}", 5, same_person_as="anna 0")]
    (finding,) = checked([*people(4), *twins])
    assert finding.check == "same_person"
    assert finding.observation.startswith("4 of 8 folders show the same person as another folder: anna 0 (5 photos), ")
    assert finding.observation.endswith("and 1 more")
    assert (
        checked([*people(10), *person("anna", 9, same_person_as="ann"), *person("ann", 9, same_person_as="anna")]) == ()
    )


def test_a_sharpness_off_the_scale_is_named() -> None:
    (finding,) = checked(people(12, sharpness=0.48))
    assert finding.check == "off_scale_sharpness"
    assert re.fullmatch(r"the median sharpness is 0\.\d\d, and the limit was lowered to 0\.3\d", finding.observation)
    assert checked(people(5, sharpness=0.52)) == ()
    assert names(checked(people(5, sharpness=0.2), load_policy("keep-all"))) == ["off_scale_sharpness"]
    assert checked(people(5), Policy(min_sharpness=0.0)) == ()


def test_faces_that_are_all_too_wide_are_named() -> None:
    (finding,) = checked(people(5, stretch=0.8))
    assert (finding.check, "0.80 of a natural one" in finding.observation) == ("off_scale_stretch", True)


def test_photos_that_were_cropped_before_are_named() -> None:
    (finding,) = checked([*people(5, inside=0.63), *people(1, inside=1.0)])
    assert finding.check == "cropped_before"
    assert "less than 63% of their aligned crop inside the photo" in finding.observation
    assert checked([*people(5, inside=1.0), *person("zoe", 20, inside=0.63)]) == ()


def test_landmarks_of_the_source_that_do_not_fit_are_named() -> None:
    misfit = person("ann", 12, landmark_source="detector", landmarks_rejected="far from the detected face")
    (finding,) = checked([*people(5, landmark_source="source"), *misfit])
    assert finding.check == "source_landmarks"
    assert (
        finding.observation
        == "12 of 62 landmarks of the source do not fit their photos (12 far from the detected face)"
    )
    assert checked([*people(20, landmark_source="source"), *misfit]) == ()


@pytest.mark.parametrize(
    ("ignored", "fires"),
    [
        ({".cr2": 30, ".csv": 4}, True),
        ({".zip": 10}, True),
        ({".cr2": 9}, False),
        ({".txt": 5000, ".xml": 5000, "": 40}, False),  # annotations
    ],
)
def test_files_that_may_hold_photos_are_missed(ignored: dict[str, int], fires: bool) -> None:
    found = checked(people(5), ignored=ignored)
    assert names(found) == (["skipped_files"] if fires else [])
    if ".cr2" in ignored and fires:
        assert found[0].observation == "30 skipped files may hold photos, beside 50 photos: 30 .cr2"


@pytest.mark.parametrize(
    "photos",
    [
        people(1, 60),
        people(2, 70),
        people(24, 12),
        people(300, 3),
        people(100, 1, identity_purity=None, wrong_person=None),
        [*people(20), *person("gone", 20, **EXAMPLES["no_face"])],
        [*people(20), *person("soft", 40, sharpness=0.2)],
        [*people(20), *person("copied", 30, duplicate_group=1)],
        person(".", 40, **STRANGER),
        people(30, sharpness=0.5, stretch=1.05, eye_distance=21.0, identity_purity=0.97),
    ],
    ids=lambda photos: f"{len(photos)} photos",
)
def test_nothing_is_found_in_clean_collections(photos: Photos) -> None:
    assert checked(photos, ignored={".txt": 3, "": 1}) == ()


def test_nothing_is_found_in_an_empty_or_tiny_collection() -> None:
    assert findings(CollectionTally([]).numbers(float("nan"), {})) == ()
    assert checked(person("anna", MIN_PHOTOS - 1, sharpness=0.1, **STRANGER)) == ()


def test_every_check_is_explained() -> None:
    order = [check.name for check in CHECKS]
    assert len(set(order)) == len(order)
    assert {f"mostly_{reason}" for reason in REASONS if reason not in REVIEW_REASONS} <= set(order)
    assert set(ADVICE) <= set(REASONS)
    for place, check in enumerate(CHECKS):
        for text in (check.meaning, check.cause, check.command):
            assert text
            assert not text.endswith(".")
        # A check that explains another one is evaluated before it.
        assert set(check.explained_by) <= set(order[:place])


@pytest.mark.parametrize("check", [c for c in CHECKS if "printf" in c.command], ids=lambda check: check.name)
def test_the_policy_of_a_next_step_loads(check: Check, tmp_path: Path) -> None:
    text = check.command.partition("printf ")[2].partition(" > ")[0]
    (tmp_path / "my-policy.toml").write_text(shlex.split(text)[0].replace("\\n", "\n"))
    assert load_policy(tmp_path / "my-policy.toml") != Policy()


def test_a_finding_is_one_line_with_the_paths_of_the_dataset() -> None:
    finding = Finding("name", "3 of OUT", "a cause", "curate clean LAYOUT --root ROOT --out ANOTHER; curate decide OUT")
    assert finding.line("out/my set", SourceRecord("folder", "/photos")) == (
        "name: 3 of OUT. Likely cause: a cause. "
        "Next: curate clean folder --root /photos --out ANOTHER; curate decide 'out/my set'"
    )


def test_findings_are_returned_and_stored_in_the_footer(tmp_path: Path) -> None:
    photos = [*person("train", 12, **STRANGER), *person("val", 6, **STRANGER)]
    decided = run(DecideRequest(related_dataset(tmp_path, photos)))
    assert names(decided.findings) == ["split_names"]
    metadata = footer(tmp_path / "manifest.parquet")
    assert metadata is not None
    assert stored_findings(metadata) == decided.findings
    assert json.loads(metadata["swapset.checks"]) == [asdict(finding) for finding in decided.findings]
    assert str(tmp_path) not in metadata["swapset.checks"]


def test_a_check_of_your_own_adds_a_finding(tmp_path: Path) -> None:
    def few(numbers: CollectionNumbers) -> str | None:
        return f"{len(numbers.identities)} persons" if len(numbers.identities) < 5 else None

    check = Check("few_persons", "fewer than five persons", few, "a small source", "collect more")
    out = related_dataset(tmp_path, people(3))
    assert names(run(DecideRequest(out, checks=(*CHECKS, check))).findings) == ["few_persons"]


def test_the_command_prints_findings_and_is_strict_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = related_dataset(tmp_path / "out", [*person("train", 12, **STRANGER), *person("val", 6, **STRANGER)])
    decide(out)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("check split_names: the identities are named like splits")
    with pytest.raises(ChecksError, match=r"out is complete, but checks found something off \(split_names\)") as error:
        decide(out, strict_checks=True)
    assert error.value.exit_code == 17
    decide(related_dataset(tmp_path / "clean", people(3)), strict_checks=True)


def test_nothing_is_found_in_the_demo(cleaned: Cleaned) -> None:
    metadata = footer(cleaned.out / "manifest.parquet")
    assert metadata is not None
    assert metadata["swapset.checks"] == "[]"
