"""Draws of a collection with planted faults, and the files that are planted."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from curate.decode import decode
from curate.evaluate.planted_files import PlantedFile, planted_jpeg
from curate.evaluate.planting import COPIES, HARMLESS, REASON, SAME_BYTES, SECOND_PERSON, SMALL_PROFILE
from curate.measure.hashes import photo_hash
from tests.samples.measured_faces import ASTRONAUT_PHOTO, luma
from tests.samples.planted import COUNT, IDENTITY, PHOTOS_PER_PERSON, planted


def test_each_fault_is_planted_at_its_rate_and_no_photo_has_two() -> None:
    draw = planted(rate=0.2)
    slots = COUNT - 2 * PHOTOS_PER_PERSON  # a tenth of the people is removed
    reasons = Counter(REASON[kind] for kind in draw.fault.tolist() if kind)
    assert reasons == {"other_person": slots / 5, "blurred": slots / 5, "near_duplicate": slots / 5}
    assert len(draw.photo) == slots + slots / 5
    assert len(np.unique(draw.photo)) == len(draw.photo)


def test_flips_are_listed_in_another_folder_and_strangers_are_removed_people() -> None:
    draw = planted(rate=0.2)
    flips, strangers = (np.flatnonzero(draw.fault == kind) for kind in ("flip", "stranger"))
    assert len(flips) + len(strangers) == 36
    assert 0 < len(strangers) <= 2 * PHOTOS_PER_PERSON
    assert (IDENTITY[draw.photo[flips]] != draw.folder[flips]).all()
    removed = set(IDENTITY.tolist()) - set(draw.folder.tolist())
    assert len(removed) == 2
    assert set(IDENTITY[draw.photo[strangers]].tolist()) <= removed


def test_copies_are_added_beside_their_unchanged_originals() -> None:
    draw = planted(rate=0.2)
    copies = np.flatnonzero(draw.original >= 0)
    originals = draw.original[copies]
    assert (draw.photo[copies] == 2 * COUNT + draw.photo[originals]).all()
    assert (draw.folder[copies] == draw.folder[originals]).all()
    assert (draw.fault[originals] == "").all()


def test_a_draw_is_repeatable_and_differs_by_seed() -> None:
    assert (planted().photo == planted().photo).all()
    assert not np.array_equal(planted(seed=1).fault, planted().fault)


def test_photos_without_a_face_get_no_fault() -> None:
    faceless = np.arange(COUNT) % 2 == 0
    draw = planted(usable=~faceless, faults=("other_person",))
    assert not faceless[draw.photo[draw.fault != ""]].any()
    assert faceless[draw.photo].sum() == len(draw.photo) / 2


def test_harmless_versions_replace_their_photos_and_have_no_reason() -> None:
    draw = planted(faults=("harmless", "blurred"))
    harmless = np.isin(draw.fault, HARMLESS)
    assert harmless.sum() == (draw.reason == "blurred").sum() == COUNT / 5
    assert (draw.photo[harmless] >= 3 * COUNT).all()
    assert (draw.reason[harmless] == "").all()


def test_a_mixed_folder_has_fewer_photos_of_the_second_person_who_has_no_other_folder() -> None:
    draw = planted(faults=("mixed_folders", "blurred"), rate=0.2)
    second = draw.fault == SECOND_PERSON
    assert second.sum() == 2 * (PHOTOS_PER_PERSON - 1)  # 4 of 20 people, in pairs
    for folder in np.unique(draw.folder[second]):
        members = draw.folder == folder
        persons, photos = np.unique(IDENTITY[draw.photo[members]], return_counts=True)
        assert sorted(photos) == [PHOTOS_PER_PERSON - 1, PHOTOS_PER_PERSON]
        assert (draw.fault[members & ~second] == "").all()
        assert not np.isin(draw.folder, persons[persons != folder]).any()
    assert (draw.reason[second] == "second_person").all()


@pytest.mark.parametrize("kind", [kind for kind in COPIES if kind != SAME_BYTES])
def test_copies_show_the_same_picture_and_are_repeatable(kind: str) -> None:
    file = PlantedFile("anna", "anna/1.jpg", "0" * 64, kind, 1.0)
    data = planted_jpeg(ASTRONAUT_PHOTO, file)
    copy = decode(data).pixels
    assert copy.shape != ASTRONAUT_PHOTO.shape or not np.array_equal(copy, ASTRONAUT_PHOTO)
    column = "phash_mirror" if kind == "mirrored" else "phash"
    bits = (int(photo_hash(luma(ASTRONAUT_PHOTO))["phash"], 16) ^ int(photo_hash(luma(copy))[column], 16)).bit_count()
    assert bits <= (20 if kind in ("cropped", "bordered") else 6)
    assert data == planted_jpeg(ASTRONAUT_PHOTO, file)


def test_the_name_of_a_planted_file_depends_on_the_content_of_the_photo() -> None:
    file = PlantedFile("anna", "anna/1.jpg", "0" * 64, "resized", 1.0)
    assert file.name != replace(file, sha256="1" * 64).name


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("border", (567, 567)),  # 6% of 507 px on each side
        ("padding", (507, 539)),
        ("turned by 90", (507, 507)),
        ("turned by 180", (507, 507)),
        (SMALL_PROFILE, (161, 161)),  # 63 px between the eyes become 20
    ],
)
def test_harmless_files_are_photos_with_a_surrounding_a_turn_or_another_size(kind: str, size: tuple[int, int]) -> None:
    photo = np.ascontiguousarray(ASTRONAUT_PHOTO[:507, :507])
    version = decode(planted_jpeg(photo, PlantedFile("anna", "anna/1.jpg", "0" * 64, kind, 1.0))).pixels
    assert version.shape[:2] == size
