"""DOMINANT_CHECKS: one check per reason, for a reason that explains nearly all drops of a collection."""

from collections.abc import Callable, Mapping

from curate.decide.check import Check, policy_command, share_of
from curate.decide.collection_numbers import CollectionNumbers
from curate.decide.rules import RULES

DOMINANT_PHOTOS, DOMINANT_DROPS = 0.3, 0.8
"""A reason dominates if it applies to more than these shares of all photos and of the dropped ones."""

ANY_PERSON = policy_command("max_wrong_person = 1.01", "min_identity_purity = 0", "keep_review = true")
"""Keeps photos whatever person they show."""

NO_IDENTITIES = "curate clean folder --root ROOT --out ANOTHER --identities none"
"""Judges photos by everything but identity."""

ADVICE: Mapping[str, tuple[str, str]] = {
    "undecodable": (
        "the files are damaged, incomplete, or of a format that is not read",
        "curate report OUT lists the error of each file; copy the source again, or convert its files",
    ),
    "no_face": (
        "the photos show no faces, or faces that are turned, very small or cropped tightly",
        "curate clean LAYOUT --root ROOT --out ANOTHER --detection full",
    ),
    "too_small": (
        "the photos are thumbnails, smaller than the policy expects",
        policy_command("min_side = 0", "min_eye_distance = 0", "max_upscale = 1000"),
    ),
    "cut_off": (
        "the photos are crops of faces, tighter than the policy expects",
        "curate report OUT shows examples; if they are whole: "
        + policy_command("min_inside = 0", "max_landmarks_outside = 5"),
    ),
    "occluded": (
        "the photos show faces behind masks, glasses, hair or objects",
        "curate report OUT shows examples; the default policy keeps covered faces: curate decide OUT",
    ),
    "blurred": (
        "the blur score is not calibrated for these photos (scans, enlarged or processed photos)",
        "curate calibrate LAYOUT --root ROOT --out blur.json && curate decide OUT --calibration blur.json",
    ),
    "stretched": (
        "the photos were resized without keeping their proportions",
        "run curate clean on the originals, or keep these: " + policy_command("max_stretch = 100"),
    ),
    "corrupt_pixels": (
        "borders or padding are taken for damage, or the copy is damaged",
        "curate report OUT shows examples; if they are intact: "
        + policy_command("max_corruption = 1", "max_flat_rows = 1", "max_flat_fraction = 1"),
    ),
    "too_dark": (
        "the photos were converted wrongly (16 bits, linear light, inverted)",
        "curate report OUT shows examples; if they are right: "
        + policy_command("min_brightness = 0", "max_clipped_dark = 1"),
    ),
    "too_bright": (
        "the photos were converted wrongly (16 bits, inverted), or are cut out on white",
        "curate report OUT shows examples; if they are right: " + policy_command("max_clipped_bright = 1"),
    ),
    "other_person": (
        "the folders are not persons but categories, numbers or search results",
        f"{NO_IDENTITIES}; or, in seconds, {ANY_PERSON}",
    ),
    "mixed_identity": (
        "the folders are not persons but categories, numbers or search results",
        f"{NO_IDENTITIES}; or, in seconds, {ANY_PERSON}",
    ),
    "duplicate": (
        "the source holds its files several times, in an archive's copy or a backup",
        "curate report OUT shows the copies; to keep them: " + policy_command("drop_duplicates = false"),
    ),
    "near_duplicate": (
        "the source holds several versions of each photo, or frames of videos",
        "curate report OUT shows the copies; to keep them: " + policy_command("drop_near_duplicates = false"),
    ),
    "excluded": (
        "the exclusion gallery shows persons of this collection",
        "curate relate OUT --exclude GALLERY, with another gallery, and curate decide OUT",
    ),
}
"""Reason -> likely cause and next step where the reason dominates."""

OTHER_KIND = (
    "the photos are of another kind than the policy expects",
    "curate report OUT shows examples of each reason; curate decide OUT --policy keep-all keeps every face",
)


def _dominates(reason: str) -> Callable[[CollectionNumbers], str | None]:
    def observe(numbers: CollectionNumbers) -> str | None:
        count = numbers.reasons.get(reason, 0)
        if count <= DOMINANT_PHOTOS * numbers.photos or count <= DOMINANT_DROPS * numbers.dropped:
            return None
        return f"{share_of(count, numbers.photos)} photos are {reason}, nearly all that are dropped"

    return observe


DOMINANT_CHECKS = tuple(
    Check(
        f"mostly_{rule.reason}",
        f"{rule.reason} applies to a large share of the photos and explains nearly all drops",
        _dominates(rule.reason),
        cause,
        command,
        explained_by=("split_names", "numbered_folders", "strangers")
        if rule.reason in ("other_person", "mixed_identity")
        else (),
    )
    for rule in RULES
    if rule.verdict == "drop"
    for cause, command in (ADVICE.get(rule.reason, OTHER_KIND),)
)
"""In the order of RULES."""
