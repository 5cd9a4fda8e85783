"""CHECKS: questions about a decided collection as a whole, whose answers name a likely cause and the next command.

A run over the wrong folder, or over photos of another kind than the policy expects, ends without an error and drops
most of them. The command line, the report, the manifest's footer and the documentation derive from this table.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from curate.decide.check import Check, Finding
from curate.decide.collection_numbers import CollectionNumbers, IdentityNumbers
from manifests.schema import REASONS

Flags = npt.NDArray[np.bool_]

MIN_PHOTOS = 10
"""Collections with fewer photos are not checked: of a few photos, one is already a large share."""

MAX_DROPPED = 0.5
"""Share of dropped photos from which a collection is off. The check sets of the project lose 1-20%."""

DOMINANT_PHOTOS, DOMINANT_DROPS = 0.3, 0.8
"""A reason dominates if it applies to more than these shares of all photos and of the dropped ones."""

SPLIT_PHOTOS = 0.5
"""Share of the photos in folders named like splits from which the layout is off; below, a name is a coincidence."""

SPLIT_NAMES = (
    r"^(train|training|val|valid|validation|dev|test|testing|eval)([-_ ]?(set|data|images|faces))?$"
    r"|^(images?|imgs?|img_align_celeba|photos?|pictures|faces|data|dataset|raw|originals?|aligned|crops|cropped"
    r"|thumbnails)([-_ ]?\d.*)?$"
)
"""Names of splits and of folders of a whole dataset, of any case (RE2)."""

STRANGER_FACES, STRANGER_PURITY = 4, 0.25
"""An identity of at least so many faces and less purity shows a different person on every photo: 12 strangers measure
.04-.07, folders of one person .98 and more."""

SAME_PERSON_SHARE, SAME_PERSON_COUNT = 0.05, 3
"""Share and number of identities of the same person as another one from which persons are spread over folders; single
persons with two names occur in most published datasets."""

SOFT_SHARPNESS, SOFT_LIMIT = 0.3, 0.1
"""A median sharpness below the first, or a limit that had to be lowered below the second, is outside the range that
the score was calibrated for: enlarged greyscale photos of 1980-2000 have a median of .47 and a limit of .21."""

NATURAL_STRETCH = 1.15
"""Factor from 1 beyond which the median stretch is off: the check sets of the project measure .98-1.05."""

SKIPPED_FILES, SKIPPED_SHARE = 1000, 0.1
"""Skipped files of a format that may hold photos, from which they are missed: in all, or relative to the photos (at
least `MIN_PHOTOS` files)."""

PHOTO_FORMATS = frozenset((
    ".jp2", ".j2k", ".jpx", ".jxr", ".psd", ".dng", ".cr2", ".cr3", ".nef",
    ".arw", ".orf", ".raf", ".rw2", ".ppm", ".pgm", ".pnm", ".tga", ".exr", ".npy", ".npz", ".mat", ".rec", ".tfrecord",
    ".tfrecords", ".parquet", ".arrow", ".lmdb", ".mdb", ".h5", ".hdf5", ".pkl", ".zip", ".gz", ".zst", ".tgz", ".bz2",
    ".xz", ".7z", ".rar", ".tar", ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v",
))  # fmt: skip
"""Extensions of files that may hold photos but are not read as such."""

MAX_NAMES = 3
"""Identities named in an observation."""


def _policy_command(*keys: str) -> str:
    lines = "\\n".join(keys)
    return f"printf '{lines}\\n' > my-policy.toml && curate decide OUT --policy my-policy.toml"


_ANY_PERSON = _policy_command("max_wrong_person = 1.01", "min_identity_purity = 0")
_ANOTHER_ROOT = "curate clean LAYOUT --root ROOT/FOLDER --out ANOTHER, with a FOLDER whose folders are persons"

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
        _policy_command("min_side = 0", "min_eye_distance = 0", "max_upscale = 1000"),
    ),
    "blurred": (
        "the blur score is not calibrated for these photos (scans, enlarged or processed photos)",
        "curate calibrate LAYOUT --root ROOT --out blur.json && curate decide OUT --calibration blur.json",
    ),
    "stretched": (
        "the photos were resized without keeping their proportions",
        "run curate clean on the originals, or keep these: " + _policy_command("max_stretch = 100"),
    ),
    "corrupt_pixels": (
        "borders or padding are taken for damage, or the copy is damaged",
        "curate report OUT shows examples; if they are intact: "
        + _policy_command("max_corruption = 1", "max_flat_rows = 1", "max_flat_fraction = 1"),
    ),
    "too_dark": (
        "the photos were converted wrongly (16 bits, linear light, inverted)",
        "curate report OUT shows examples; if they are right: "
        + _policy_command("min_brightness = 0", "max_clipped_dark = 1"),
    ),
    "too_bright": (
        "the photos were converted wrongly (16 bits, inverted), or are cut out on white",
        "curate report OUT shows examples; if they are right: " + _policy_command("max_clipped_bright = 1"),
    ),
    "other_person": ("the folders are not persons but categories, numbers or search results", _ANY_PERSON),
    "mixed_identity": ("the folders are not persons but categories, numbers or search results", _ANY_PERSON),
    "duplicate": (
        "the source holds its files several times, in an archive's copy or a backup",
        "curate report OUT shows the copies; to keep them: " + _policy_command("drop_duplicates = false"),
    ),
    "near_duplicate": (
        "the source holds several versions of each photo, or frames of videos",
        "curate report OUT shows the copies; to keep them: " + _policy_command("drop_near_duplicates = false"),
    ),
    "excluded": (
        "the exclusion gallery shows persons of this collection",
        "curate relate OUT --exclude GALLERY, with another gallery, and curate decide OUT",
    ),
}
"""Reason -> likely cause and next step where the reason dominates."""

_OTHER_KIND = (
    "the photos are of another kind than the policy expects",
    "curate report OUT shows examples of each reason; curate decide OUT --policy keep-all keeps every face",
)


def _half_dropped(numbers: CollectionNumbers) -> str | None:
    if numbers.dropped <= MAX_DROPPED * numbers.photos:
        return None
    reasons = sorted((item for item in numbers.reasons.items() if item[1]), key=lambda item: -item[1])
    counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons[:3])
    return f"{_of(numbers.dropped, numbers.photos)} photos are dropped" + (f" ({counts})" if counts else "")


def _dominates(reason: str) -> Callable[[CollectionNumbers], str | None]:
    def observe(numbers: CollectionNumbers) -> str | None:
        count = numbers.reasons.get(reason, 0)
        if count <= DOMINANT_PHOTOS * numbers.photos or count <= DOMINANT_DROPS * numbers.dropped:
            return None
        return f"{_of(count, numbers.photos)} photos are {reason}, nearly all that are dropped"

    return observe


def _split_names(numbers: CollectionNumbers) -> str | None:
    identities = numbers.identities
    alike = np.asarray(pc.match_substring_regex(identities.names, SPLIT_NAMES, ignore_case=True), bool)
    if identities.photos[alike].sum() < SPLIT_PHOTOS * numbers.photos:
        return None
    return f"the identities are named like splits or collections: {_named(identities, alike)}"


def _strangers(identities: IdentityNumbers) -> Flags:
    return (identities.faces >= STRANGER_FACES) & (identities.purity < STRANGER_PURITY)


def _numbered_folders(numbers: CollectionNumbers) -> str | None:
    identities = numbers.identities
    numbered = np.asarray(pc.match_substring_regex(identities.names, r"^\d+$"), bool) & _strangers(identities)
    if identities.photos[numbered].sum() <= numbers.photos / 2:
        return None
    return f"the folders are numbered and every photo shows another person: {_named(identities, numbered)}"


def _stranger_folders(numbers: CollectionNumbers) -> str | None:
    strangers = _strangers(numbers.identities)
    if not strangers.any():
        return None
    count = _of(int(strangers.sum()), len(numbers.identities))
    return f"no two faces agree in {count} folders: {_named(numbers.identities, strangers)}"


def _same_person(numbers: CollectionNumbers) -> str | None:
    same = numbers.identities.same_person
    if same.sum() < max(SAME_PERSON_COUNT, SAME_PERSON_SHARE * len(same)):
        return None
    count = _of(int(same.sum()), len(same))
    return f"{count} folders show the same person as another folder: {_named(numbers.identities, same)}"


def _soft(numbers: CollectionNumbers) -> str | None:
    if not (numbers.sharpness < SOFT_SHARPNESS or numbers.lowered_sharpness < SOFT_LIMIT):
        return None
    lowered = f", and the limit was lowered to {numbers.lowered_sharpness:.2f}"
    return f"the median sharpness is {numbers.sharpness:.2f}" + lowered * (numbers.lowered_sharpness > 0)


def _stretched(numbers: CollectionNumbers) -> str | None:
    if not abs(np.log(numbers.stretch)) > np.log(NATURAL_STRETCH):
        return None
    return f"the median height over width of the faces is {numbers.stretch:.2f} of a natural one"


def _skipped_files(numbers: CollectionNumbers) -> str | None:
    skipped = {ending: count for ending, count in numbers.ignored.items() if ending in PHOTO_FORMATS}
    total = sum(skipped.values())
    if total < min(SKIPPED_FILES, max(MIN_PHOTOS, SKIPPED_SHARE * numbers.photos)):
        return None
    largest = sorted(skipped.items(), key=lambda item: -item[1])[:MAX_NAMES]
    counts = ", ".join(f"{count:,} {ending}" for ending, count in largest)
    return f"{total:,} files that may hold photos are skipped beside {numbers.photos:,} photos: {counts}"


CHECKS = (
    Check(
        "split_names",
        "most photos are in folders named like splits or collections (train, val, images)",
        _split_names,
        "the folders below ROOT are splits, and persons are one level further down",
        _ANOTHER_ROOT,
    ),
    Check(
        "numbered_folders",
        "most photos are in numbered folders in which every photo shows another person",
        _numbered_folders,
        "the numbers are blocks of files, not persons (the layout of FFHQ)",
        _ANY_PERSON,
        explained_by=("split_names",),
    ),
    Check(
        "strangers",
        "a folder in which no two faces agree",
        _stranger_folders,
        "the folders hold search results, groups or several persons",
        "curate report OUT shows examples under mixed_identity; if all of them shall be kept: " + _ANY_PERSON,
        explained_by=("split_names", "numbered_folders"),
    ),
    *(
        Check(
            f"mostly_{reason}",
            f"{reason} applies to a large share of the photos and explains nearly all drops",
            _dominates(reason),
            cause,
            command,
            explained_by=("split_names", "numbered_folders", "strangers")
            if reason in ("other_person", "mixed_identity")
            else (),
        )
        for reason in REASONS
        for cause, command in (ADVICE.get(reason, _OTHER_KIND),)
    ),
    Check(
        "half_dropped",
        "more than half of the photos are dropped",
        _half_dropped,
        *_OTHER_KIND,
        explained_by=("split_names", "numbered_folders", *(f"mostly_{reason}" for reason in REASONS)),
    ),
    Check(
        "same_person",
        "many folders show the same person as another folder",
        _same_person,
        "a person has several folders (spellings, sessions, splits), or the folders are no persons",
        "curate report OUT; join the folders of one person in the source, and run curate clean again",
        explained_by=("split_names", "numbered_folders"),
    ),
    Check(
        "off_scale_sharpness",
        "the sharpness of most faces is far below the range that the score is calibrated for",
        _soft,
        "the photos are enlarged, scanned or strongly processed",
        "curate calibrate LAYOUT --root ROOT --out blur.json && curate decide OUT --calibration blur.json",
        explained_by=("mostly_blurred",),
    ),
    Check(
        "off_scale_stretch",
        "the faces of the whole collection are too tall or too wide",
        _stretched,
        "the photos were resized without keeping their proportions",
        "run curate clean on the originals",
        explained_by=("mostly_stretched",),
    ),
    Check(
        "skipped_files",
        "many files of the source that may hold photos are skipped by their extension",
        _skipped_files,
        "the photos are in a format, an archive or a video that is not read",
        "convert or unpack these files, and run curate clean again",
    ),
)
"""Every check, in the order in which findings are listed; checks that explain others come first."""


def findings(numbers: CollectionNumbers, checks: Sequence[Check] = CHECKS) -> tuple[Finding, ...]:
    """Return what is off in a collection, at most one finding per check."""
    if numbers.photos < MIN_PHOTOS:
        return ()
    found: dict[str, Finding] = {}
    for check in checks:
        if found.keys() & set(check.explained_by):
            continue
        observation = check.observe(numbers)
        if observation is not None:
            found[check.name] = Finding(check.name, observation, check.cause, check.command)
    return tuple(found.values())


def _of(count: int, total: int) -> str:
    return f"{count:,} of {total:,}" + (f" ({100 * count / total:.0f}%)" if total >= 100 else "")


def _named(identities: IdentityNumbers, flags: Flags) -> str:
    """The largest of the flagged identities by name, with their numbers of photos."""
    rows = np.flatnonzero(flags)
    rows = rows[np.argsort(-identities.photos[rows], kind="stable")]
    names = [f"{identities.names[int(row)].as_py()} ({identities.photos[row]:,} photos)" for row in rows[:MAX_NAMES]]
    return ", ".join(names) + (f" and {len(rows) - MAX_NAMES:,} more" if len(rows) > MAX_NAMES else "")
