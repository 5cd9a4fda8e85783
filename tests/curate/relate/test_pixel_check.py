"""Whether two aligned crops show the same picture."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from curate.evaluate import degradations
from curate.faces import align
from curate.relate import pixel_check
from curate.relate.photo_frame import PhotoFrame
from curate.relate.pixel_check import agreement, is_same_picture
from tests.samples.measured_faces import ASTRONAUT, ASTRONAUT_LANDMARKS, ASTRONAUT_PHOTO, GROUP_PHOTO, TEMPLATE, face_of

CROP = ASTRONAUT.crop
OTHER_LANDMARKS = [[492.2, 318.9], [541.4, 331.4], [507.0, 364.7], [482.7, 367.7], [530.3, 380.4]]


def shifted(crop):
    """The crop as another detection aligns it: turned by 1 degree, enlarged by 2%, moved by 2 px."""
    matrix = cv2.getRotationMatrix2D((112, 112), 1.0, 1.02)
    matrix[:, 2] += 2
    return cv2.warpAffine(crop, matrix, (224, 224), borderMode=cv2.BORDER_REPLICATE)


COPIES = {
    "itself": CROP,
    "re-encoded": degradations.jpeg(CROP, 50),
    "half size": degradations.low_resolution(CROP, 2),
    "mirrored": np.ascontiguousarray(CROP[:, ::-1]),
    "aligned differently": shifted(CROP),
    "darker": degradations.brightness(CROP, 0.7),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_the_same_picture(kind):
    assert is_same_picture(CROP, COPIES[kind])
    assert is_same_picture(COPIES[kind], CROP)


def test_copies_before_a_flat_ground():
    """Blocks of the ground hold nothing but the noise of coding, which differs."""
    ground = CROP.copy()
    ground[ASTRONAUT.labels == 0] = 200
    assert is_same_picture(degradations.jpeg(ground, 90), degradations.jpeg(ground, 30))


def test_a_cut_copy_of_a_photo_with_black_pixels():
    """The photo that ends within its crop is not the one of the two that has more black pixels."""
    dotted, cut = CROP.copy(), CROP.copy()
    cut[:36] = 0
    outside = np.zeros(ASTRONAUT.labels.shape, bool)
    outside[8::16, 8::16] = ASTRONAUT.labels[8::16, 8::16] == 0
    dotted[cv2.dilate(outside.astype(np.uint8), np.ones((3, 3))) > 0] = 0
    assert is_same_picture(dotted, cut)


def test_parts_that_differ_end_the_comparison_before_the_registration(monkeypatch):
    moved = CROP.copy()
    moved[130:] = np.roll(CROP, 24, axis=1)[130:]
    assert not is_same_picture(CROP, moved)
    monkeypatch.setattr(pixel_check, "_register", lambda *_: pytest.fail("registered"))
    assert not is_same_picture(CROP, moved)


def test_another_face_is_another_picture():
    other = face_of(GROUP_PHOTO, OTHER_LANDMARKS).crop
    assert not is_same_picture(CROP, other)
    assert agreement(CROP, other) == (-1.0, -1.0)


def test_black_areas_outside_the_photo_are_ignored():
    cut = CROP.copy()
    cut[:, :40] = 0
    assert is_same_picture(CROP, cut)


@pytest.mark.parametrize("factor", [0.5, 0.3])
def test_a_darker_copy_of_a_tight_photo_agrees(factor):
    """What is compared ends within the crop, where both get the same pixels in the tones of each."""
    tight = np.zeros_like(CROP)
    tight[50:-50, 50:-50] = CROP[50:-50, 50:-50]
    assert agreement(tight, degradations.brightness(tight, factor))[0] > 0.99


@pytest.mark.parametrize("colour", [255, 0, 128], ids=["white", "black", "grey"])
def test_what_is_around_a_bordered_photo_is_ignored(colour):
    """The tight photo ends within the crop: beyond it the crop is black, and that of its bordered copy is not."""
    tight = np.zeros_like(CROP)
    tight[30:-30, 30:-30] = CROP[30:-30, 30:-30]
    bordered = np.full_like(CROP, colour)
    bordered[30:-30, 30:-30] = CROP[30:-30, 30:-30]
    assert is_same_picture(tight, bordered)


@pytest.mark.parametrize("turn", [15, -20])
def test_the_border_of_a_tilted_head_is_ignored(turn):
    """Upright in the crop, the head's photo is a tilted rectangle."""
    matrix = cv2.getRotationMatrix2D((112, 112), turn, 1)
    inside = np.zeros(CROP.shape[:2], np.uint8)
    inside[35:-35, 35:-35] = 1
    wide = cv2.dilate(inside, np.ones((31, 31), np.uint8))
    inside, wide = (cv2.warpAffine(area, matrix, (224, 224))[..., None] > 0 for area in (inside, wide))
    tight, bordered = np.where(inside, CROP, 0), np.where(inside, CROP, np.where(wide, 255, 0)).astype(np.uint8)
    assert is_same_picture(tight, bordered)


def framed(photo, move=(0.0, 0.0)):
    """The astronaut's crop of a version of the photo and its frame; the landmarks are `move` px (x, y) off."""
    landmarks = np.asarray(ASTRONAUT_LANDMARKS, np.float64)[None] * (photo.shape[0] / ASTRONAUT_PHOTO.shape[0])
    matrices, _ = align.fit(landmarks + np.asarray(move), TEMPLATE)
    crop = align.warp([photo], [0], matrices, TEMPLATE.size)[0].permute(1, 2, 0).contiguous().numpy()
    return crop, PhotoFrame.of(matrices[0], photo.shape[1], photo.shape[0])


def test_frames_of_one_scene_are_other_pictures_in_a_thumbnail():
    """Little but the mouth differs, and a thumbnail holds no other fine detail; a recompressed copy is one picture."""
    thumbnail = cv2.resize(ASTRONAUT_PHOTO, (150, 150), interpolation=cv2.INTER_AREA)
    opened = ASTRONAUT_PHOTO.copy()
    mouth = np.mean(ASTRONAUT_LANDMARKS[3:], axis=0).round().astype(int).tolist()
    cv2.ellipse(opened, mouth, (9, 3), 0, 0, 360, (60, 20, 20), -1)
    opened = cv2.resize(opened, (150, 150), interpolation=cv2.INTER_AREA)
    first, frame = framed(thumbnail)
    second, other = framed(opened)
    cut = replace(other, height=140)  # else photos of equal framing are compared as copies that are drawn over
    assert not is_same_picture(first, second, frames=(frame, cut))
    assert not is_same_picture(first, np.ascontiguousarray(second[:, ::-1]), frames=(frame, cut))
    copy, _ = framed(degradations.jpeg(thumbnail, 50))
    assert is_same_picture(first, copy, frames=(frame, cut))


def drawn_over(photo, colour):
    """Lines of text across the face."""
    stamped = photo.copy()
    for y in (95, 165):
        cv2.putText(stamped, "PICTURE AGENCY", (140, y), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 2)
    return stamped


@pytest.mark.parametrize("colour", [(255, 255, 255), (220, 30, 30)], ids=["white", "red"])
@pytest.mark.parametrize("resized", [1.0, 0.75])
def test_text_over_the_face_and_landmarks_that_it_moved(colour, resized):
    stamped = cv2.resize(
        drawn_over(ASTRONAUT_PHOTO, colour), None, fx=resized, fy=resized, interpolation=cv2.INTER_AREA
    )
    (first, frame), (second, other) = framed(ASTRONAUT_PHOTO), framed(stamped, move=(5, -4))
    assert is_same_picture(first, second, frames=(frame, other))
    assert is_same_picture(second, first, frames=(other, frame))


def test_another_face_in_the_same_frame_is_another_picture():
    crop, frame = framed(ASTRONAUT_PHOTO)
    other = face_of(GROUP_PHOTO, OTHER_LANDMARKS).crop
    assert not is_same_picture(crop, other, frames=(frame, frame))


def test_a_frame_maps_between_resized_and_mirrored_photos():
    small, large = (PhotoFrame.of(np.eye(2, 3) * scale, 100 * side, 80 * side) for side, scale in ((1, 1.0), (2, 0.5)))
    matrix = small.to_crop_of(large, mirrored=False)
    assert matrix is not None
    assert matrix @ [10, 20, 1] == pytest.approx([10.25, 20.25])  # the larger photo shows it at (20.5, 40.5)
    mirrored = small.to_crop_of(large, mirrored=True)
    assert mirrored is not None
    assert mirrored @ [0, 0, 1] == pytest.approx([(199 - 0.5) / 2, 0.25])
    assert small.to_crop_of(PhotoFrame.of(np.eye(2, 3), 110, 80), mirrored=False) is None


def test_a_narrow_photo_and_its_bordered_copy_in_either_order():
    """The landmarks of the bordered copy differ: its crop is turned and smaller."""
    narrow = np.zeros_like(CROP)
    narrow[34:200, 30:196] = CROP[34:200, 30:196]
    bordered = cv2.copyMakeBorder(narrow[34:200, 30:196], 12, 12, 12, 12, cv2.BORDER_CONSTANT, value=(255,) * 3)
    bordered = cv2.copyMakeBorder(bordered, 22, 12, 18, 16, cv2.BORDER_CONSTANT)
    moves = [cv2.getRotationMatrix2D((112, 112), turn, scale) for turn, scale in ((-5, 1), (-4, 0.96))]
    first, second = (
        cv2.warpAffine(crop, move, (224, 224)) for crop, move in zip((narrow, bordered), moves, strict=True)
    )
    frames = PhotoFrame.of(moves[0], 166, 166), PhotoFrame.of(moves[1], 190, 190)
    assert is_same_picture(first, second, frames=frames)
    assert is_same_picture(second, first, frames=frames[::-1])
