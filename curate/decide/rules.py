"""Policy and RULES: the thresholds of one way to decide, and every reason to drop or to review a photo by them.

The reasons are in the order of `manifests.schema.REASONS`. Decisions, presets, the report's explanations, examples and
histograms, and the documentation derive from this file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from curate.decide.identity_rules import IDENTITY_RULES
from curate.decide.rule import Chart, Columns, Flags, Rule, Values
from curate.decide.sharpness_rules import BLURRED, SOFT
from curate.decide.visibility_rules import CUT_OFF, OCCLUDED
from curate.errors import PolicyError
from curate.typed_toml import TypedToml, number, switch
from manifests.schema import LANDMARKS, REASONS

STRETCH_ERRORS = 3.0
"""A face counts as stretched only beyond so many standard deviations of its measurement."""

MIN_FORESHORTENING = 0.5
"""Least factor by which yaw is taken to shorten the distance between the eyes: that of 60 degrees."""

EYES_TO_MOUTH = 1.15
"""Distance from between the eyes to the middle of the mouth, in units of the distance between the eyes; larger than
that of most faces, so that a long face does not pass as a large one."""


@dataclass(frozen=True)
class Policy(TypedToml):
    """Thresholds of one way to decide.

    A value equal to its threshold passes, except `wrong_person`, which is dropped from `max_wrong_person` on. A
    missing measurement never triggers a reason. `RULES` lists the keys that each reason depends on.

    Raises PolicyError for a value of another type or out of range.
    """

    error: ClassVar = PolicyError

    min_side: float = number(0.0, 0, 100_000, "minimum length of the photo's shorter side", "px")
    min_eye_distance: float = number(
        16.0, 0, 10_000, "minimum distance between the eyes, corrected for turned heads", "source px"
    )
    max_upscale: float = number(
        8.0, 0, 1_000, "maximum enlargement of the photo in the aligned crop", "crop px per source px"
    )
    min_inside: float = number(
        0.3, 0, 1, "minimum share of the crop inside the photo; tightly framed faces have .36 and more", "share"
    )
    max_landmarks_outside: float = number(
        0.0, 0, 5, "maximum number of the five landmarks beyond the photo's border", "landmarks"
    )
    max_eyes_covered: float = number(
        1.0, 0, 1, "maximum share of the zones of both eyes under hair or objects, .5 is one eye; 1 keeps all", "share"
    )
    max_mouth_covered: float = number(
        1.0, 0, 1, "maximum share of the zone of the mouth under hands or objects; 1 keeps all", "share"
    )
    max_sunglasses: float = number(
        1.0, 0, 1, "maximum score of dark glasses; 1 keeps all, from 0.5 the eyes are hidden", "score"
    )
    min_sharpness: float = number(0.41, 0, 1, "minimum sharpness score; 0.5 is the boundary of the calibration")
    review_sharpness: float = number(
        0.6, 0, 1, "sharpness score below which a face that is not blurred is reviewed; at most min_sharpness: none"
    )
    adapt_sharpness: bool = switch(
        True,
        "shift min_sharpness and review_sharpness, within fixed bounds, for collections and photo sizes whose sharp "
        "faces are softer (scans, small originals) or sharper than usual",
    )
    max_stretch: float = number(
        1.3, 1, 100, "maximum factor by which a face may be too tall or too wide, where it exceeds the error", "ratio"
    )
    max_corruption: float = number(
        0.003, 0, 1, "maximum share of torn edges on the JPEG grid (lower bound)", "share of 8 px edges"
    )
    max_flat_fraction: float = number(
        0.3, 0, 1, "maximum share of the face in one constant colour", "share of the face"
    )
    max_flat_rows: float = number(
        0.25, 0, 1, "maximum share of rows in one colour, counted from the bottom", "share of the photo's rows"
    )
    max_clipped_dark: float = number(0.5, 0, 1, "maximum share of the face at black", "share of face pixels")
    min_brightness: float = number(
        30.0, 0, 255, "minimum brightness of a face whose local contrast is below min_local_contrast", "median luma"
    )
    min_local_contrast: float = number(
        4.0, 0, 128, "local contrast from which a dark face is never too dark, so that dark skin is kept", "levels"
    )
    max_clipped_bright: float = number(0.4, 0, 1, "maximum share of the face at white", "share of face pixels")
    max_wrong_person: float = number(
        0.5, 0, 1.01, "probability of another person from which a photo is dropped; 1.01 keeps all", "probability"
    )
    review_wrong_person: float = number(
        0.1, 0, 1.01, "probability of another person from which a photo is reviewed; 1.01 reviews none", "probability"
    )
    review_nearer_identity: float = number(
        0.01,
        0,
        1.01,
        "the same for a face that is more similar to another identity than to its own; 1.01 reviews none",
        "probability",
    )
    review_several_faces: float = number(
        0.005,
        0,
        1.01,
        "the same for the main face of a photo that shows several, where it may be the wrong one; 1.01 reviews none",
        "probability",
    )
    review_second_person: bool = switch(
        True, "where an identity shows two persons, review the smaller group instead of dropping it as another person"
    )
    keep_review: bool = switch(False, "use photos with the verdict review in training and exports (column keep)")
    min_identity_purity: float = number(
        0.25, 0, 1, "minimum share of an identity's faces that show the person at its centroid", "share of faces"
    )
    drop_duplicates: bool = switch(True, "drop copies with the same bytes, except the best one")
    drop_near_duplicates: bool = switch(True, "drop copies of the same picture, except the best one")
    drop_excluded: bool = switch(True, "drop faces that match a reference of the exclusion gallery")
    min_excluded_similarity: float = number(
        -1.0, -1, 1, "minimum similarity of a match with the exclusion gallery; -1 accepts every match", "cosine"
    )


def _undecodable(photos: Columns, policy: Policy) -> Flags:
    return photos.valid("error")


def _no_face(photos: Columns, policy: Policy) -> Flags:
    return ~photos.valid("error") & ~photos.valid("face_id")


def _too_small(photos: Columns, policy: Policy) -> Flags:
    shorter_side = np.fmin(photos.number("width"), photos.number("height"))
    return (
        (shorter_side < policy.min_side)
        | (_frontal_eye_distance(photos) < policy.min_eye_distance)
        | (photos.number("upscale") > policy.max_upscale)
    )


def _frontal_eye_distance(photos: Columns) -> Values:
    """Distance between the eyes if the head were not turned, (N,) source px.

    Two estimates, of which the larger counts, as either is shortened by a turn: the distance itself, corrected for yaw,
    and that from the eyes to the mouth, which yaw does not change.
    """
    foreshortening = np.cos(np.radians(np.nan_to_num(photos.number("yaw"))))
    x, y = (
        photos.number(f"left_eye_{axis}") + photos.number(f"right_eye_{axis}")
        - photos.number(f"left_mouth_{axis}") - photos.number(f"right_mouth_{axis}")
        for axis in "xy"
    )  # fmt: skip
    from_mouth = np.hypot(x, y) / 2 / EYES_TO_MOUTH
    return np.fmax(photos.number("eye_distance") / np.maximum(foreshortening, MIN_FORESHORTENING), from_mouth)


def _stretched(photos: Columns, policy: Policy) -> Flags:
    deviation = np.abs(np.log(photos.number("stretch")))
    limit = np.maximum(np.log(policy.max_stretch), STRETCH_ERRORS * photos.number("stretch_error"))
    return np.asarray(deviation > limit)


def _corrupt_pixels(photos: Columns, policy: Policy) -> Flags:
    return (
        (photos.number("corruption") > policy.max_corruption)
        | (photos.number("flat_rows") > policy.max_flat_rows)
        | (photos.number("flat_fraction") > policy.max_flat_fraction)
    )


def _too_dark(photos: Columns, policy: Policy) -> Flags:
    # Dark skin keeps local contrast, a face lost in the dark does not.
    dim = photos.number("brightness") < policy.min_brightness
    flat = photos.number("local_contrast") < policy.min_local_contrast
    return (dim & flat) | (photos.number("clipped_dark") > policy.max_clipped_dark)


def _too_bright(photos: Columns, policy: Policy) -> Flags:
    return photos.number("clipped_bright") > policy.max_clipped_bright


def _duplicate(photos: Columns, policy: Policy) -> Flags:
    return policy.drop_duplicates & photos.equal("duplicate_kind", "exact")


def _near_duplicate(photos: Columns, policy: Policy) -> Flags:
    return policy.drop_near_duplicates & photos.equal("duplicate_kind", "near")


def _excluded(photos: Columns, policy: Policy) -> Flags:
    distant = photos.number("excluded_similarity") < policy.min_excluded_similarity
    return policy.drop_excluded & photos.valid("excluded_by") & ~distant


RULES = (
    Rule("undecodable", "the file is damaged or not an image", ("error",), (), _undecodable),
    Rule("no_face", "no face was detected", ("error", "face_id"), (), _no_face),
    Rule(
        "too_small",
        "the face or the photo has too few pixels",
        ("width", "height", "eye_distance", "yaw", "upscale", *LANDMARKS),
        ("min_side", "min_eye_distance", "max_upscale"),
        _too_small,
        shown=("eye_distance", "width", "height"),
        charts=(Chart("eye_distance", "Distance between the eyes, px", 0, 200, lambda p: (p.min_eye_distance,)),),
    ),
    CUT_OFF,
    OCCLUDED,
    BLURRED,
    SOFT,
    Rule(
        "stretched",
        "the face is too tall or too wide",
        ("stretch", "stretch_error"),
        ("max_stretch",),
        _stretched,
        shown=("stretch",),
        charts=(
            Chart("stretch", "Height over width, 1 is natural", 0.5, 2, lambda p: (p.max_stretch, 1 / p.max_stretch)),
        ),
    ),
    Rule(
        "corrupt_pixels",
        "the image data is damaged: torn blocks, or a lower part in one colour",
        ("corruption", "flat_rows", "flat_fraction"),
        ("max_corruption", "max_flat_rows", "max_flat_fraction"),
        _corrupt_pixels,
        shown=("corruption", "flat_rows"),
    ),
    Rule(
        "too_dark",
        "the face is underexposed beyond recognition",
        ("brightness", "local_contrast", "clipped_dark"),
        ("min_brightness", "min_local_contrast", "max_clipped_dark"),
        _too_dark,
        shown=("brightness", "clipped_dark"),
        charts=(
            Chart("brightness", "Median brightness of the face", 0, 255, lambda p: (p.min_brightness,)),
            Chart("clipped_dark", "Share of the face at black", 0, 1, lambda p: (p.max_clipped_dark,)),
        ),
    ),
    Rule(
        "too_bright",
        "the face is overexposed",
        ("clipped_bright",),
        ("max_clipped_bright",),
        _too_bright,
        shown=("clipped_bright",),
        charts=(Chart("clipped_bright", "Share of the face at white", 0, 1, lambda p: (p.max_clipped_bright,)),),
    ),
    *IDENTITY_RULES,
    Rule(
        "duplicate",
        "the same bytes as another photo, which is kept",
        ("duplicate_kind",),
        ("drop_duplicates",),
        _duplicate,
    ),
    Rule(
        "near_duplicate",
        "the same picture as another photo, which is kept",
        ("duplicate_kind",),
        ("drop_near_duplicates",),
        _near_duplicate,
    ),
    Rule(
        "excluded",
        "the face matches a person of the exclusion gallery",
        ("excluded_by", "excluded_similarity"),
        ("drop_excluded", "min_excluded_similarity"),
        _excluded,
        shown=("excluded_similarity",),
    ),
)

if tuple(rule.reason for rule in RULES) != REASONS:
    raise RuntimeError("RULES and manifests.schema.REASONS must list the same reasons in the same order")


REVIEW_REASONS = tuple(rule.reason for rule in RULES if rule.verdict == "review")
"""Reasons for which a photo is reviewed, not dropped."""


def ranking_rules(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return the rules by which the copies of a picture are ranked.

    They depend on a photo alone, not on the photo that is kept of its duplicate group. `soft` is left out: copies are
    about as soft, and a limit between two nearly equal scores must not make an enlargement the better one.
    """
    return tuple(rule for rule in rules if "duplicate_kind" not in rule.columns and rule.reason != SOFT.reason)


def photo_reasons(rules: Sequence[Rule], policy: Policy, *tables: pa.Table) -> Flags:
    """Apply `rules` to N rows of `tables` (measures, relations): (N, len(rules)) which reasons apply to each row."""
    flags = np.zeros((tables[0].num_rows, len(rules)), bool)
    for index, rule in enumerate(rules):
        flags[:, index] = rule.applies(Columns(rule, *tables), policy)
    return flags
