"""Policy: every threshold that turns measurements into verdicts. `Policy()` is the preset `default`.

    extends = "default"      # a preset or a file; keys that are not set keep its values
    min_sharpness = 0.6

Photos are measured once; deciding by another policy takes seconds (`curate decide --policy FILE`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from curate.errors import PolicyError
from curate.typed_toml import Presets, TypedToml, number, switch


@dataclass(frozen=True)
class Policy(TypedToml):
    """Thresholds of one way to decide.

    A value equal to its threshold passes, except `wrong_person`, which is dropped from `max_wrong_person` on. A
    missing measurement never triggers a reason. `curate.decide.rules.RULES` lists the keys that each reason depends
    on. Raises PolicyError for a value of another type or out of range.
    """

    error: ClassVar = PolicyError

    min_side: float = number(0.0, 0, 100_000, "minimum length of the photo's shorter side", "px")
    min_eye_distance: float = number(20.0, 0, 10_000, "minimum distance between the eyes", "source px")
    max_upscale: float = number(
        8.0, 0, 1_000, "maximum enlargement of the photo in the aligned crop", "crop px per source px"
    )
    min_sharpness: float = number(0.5, 0, 1, "minimum sharpness score; 0.5 is the calibrated boundary of blur")
    adapt_sharpness: bool = switch(
        True,
        "lower min_sharpness where nearly all photos are soft (scans, small originals), so that only those far softer "
        "than their collection are dropped",
    )
    max_stretch: float = number(
        1.3, 1, 100, "maximum factor by which a face may be too tall or too wide, where it exceeds the error", "ratio"
    )
    max_corruption: float = number(0.006, 0, 1, "maximum share of torn edges on the JPEG grid", "share of 8 px edges")
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
    min_identity_purity: float = number(
        0.25, 0, 1, "minimum share of an identity's faces that show the person at its centroid", "share of faces"
    )
    drop_duplicates: bool = switch(True, "drop copies with the same bytes, except the best one")
    drop_near_duplicates: bool = switch(True, "drop copies of the same picture, except the best one")
    drop_excluded: bool = switch(True, "drop faces that match a reference of the exclusion gallery")
    min_excluded_similarity: float = number(
        -1.0, -1, 1, "minimum similarity of a match with the exclusion gallery; -1 accepts every match", "cosine"
    )


POLICIES = Presets(Policy, noun="policy", package="curate.decide", folder="policies", default="default")


def load_policy(name_or_path: str | Path) -> Policy:
    """Read the preset or the TOML file `name_or_path`.

    Raises PolicyError with the file, the key and a remedy.
    """
    return POLICIES.load(name_or_path)
