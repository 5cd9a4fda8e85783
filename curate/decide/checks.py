"""CHECKS: questions about a decided collection as a whole, whose answers name a likely cause and the next command.

A run over the wrong folder, or over photos of another kind than the policy expects, ends without an error and drops
most of them. The command line, the report, the manifest's footer and the documentation derive from this table.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from curate.counts import counted
from curate.decide.check import Check, Finding, share_of
from curate.decide.collection_numbers import CollectionNumbers, IdentityNumbers
from curate.decide.dominant_reasons import ANY_PERSON, DOMINANT_CHECKS, NO_IDENTITIES, OTHER_KIND
from curate.decide.rules import REVIEW_REASONS

Flags = npt.NDArray[np.bool_]

MIN_PHOTOS = 10
"""Collections with fewer photos are not checked: of a few photos, one is already a large share."""

MAX_DROPPED = 0.5
"""Share of dropped photos from which a collection is off. The check sets of the project lose 1-20%."""

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
.02-.26 (the less, the more folders there are to compare with), folders of one person .98 and more."""

NUMBERED_PURITY = 0.5
"""The same for folders whose names are numbers, which alone suggest blocks of files; two persons have about .5."""

SAME_PERSON_SHARE, SAME_PERSON_COUNT = 0.05, 3
"""Share and number of identities of the same person as another one from which persons are spread over folders; single
persons with two names occur in most published datasets."""

SOFT_SHARPNESS = 0.5
"""A median sharpness below this is outside the range that the score was calibrated for: 64 px thumbnails have a median
of .59, and the limit is not lowered below .28."""

NATURAL_STRETCH = 1.15
"""Factor from 1 beyond which the median stretch is off: the check sets of the project measure .98-1.05."""

CROPPED_INSIDE = 0.9
"""Median share of the aligned crop inside the photo below which the photos were cropped around the faces before: photos
as they are found in the web measure 1.00, sets aligned to arcface-112 .81, tight crops of lfw .63."""

MISFIT_SHARE = 0.1
"""Share of the source's landmarks (at least `MIN_PHOTOS`) that were rejected, from which they belong to other photos; a
few do not fit in the published tables either."""

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


_PARENT = "curate clean folder --root ROOT --out ANOTHER --identities parent"


def _half_dropped(numbers: CollectionNumbers) -> str | None:
    if numbers.dropped <= MAX_DROPPED * numbers.photos:
        return None
    drops = [item for item in numbers.reasons.items() if item[1] and item[0] not in REVIEW_REASONS]
    reasons = sorted(drops, key=lambda item: -item[1])
    counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons[:3])
    return f"{share_of(numbers.dropped, numbers.photos)} photos are dropped" + (f" ({counts})" if counts else "")


def _split_names(numbers: CollectionNumbers) -> str | None:
    identities = numbers.identities
    alike = np.asarray(pc.match_substring_regex(identities.names, SPLIT_NAMES, ignore_case=True), bool)
    if identities.photos[alike].sum() < SPLIT_PHOTOS * numbers.photos:
        return None
    return f"the identities are named like splits or collections: {_named(identities, alike)}"


def _strangers(identities: IdentityNumbers, purity: float = STRANGER_PURITY) -> Flags:
    return (identities.faces >= STRANGER_FACES) & (identities.purity < purity)


def _numbered_folders(numbers: CollectionNumbers) -> str | None:
    identities = numbers.identities
    numbers_only = np.asarray(pc.match_substring_regex(identities.names, r"^\d+$"), bool)
    numbered = numbers_only & _strangers(identities, NUMBERED_PURITY)
    if identities.photos[numbered].sum() <= numbers.photos / 2:
        return None
    return f"the folders are numbered and every photo shows another person: {_named(identities, numbered)}"


def _stranger_folders(numbers: CollectionNumbers) -> str | None:
    strangers = _strangers(numbers.identities)
    if not strangers.any():
        return None
    count = share_of(int(strangers.sum()), len(numbers.identities))
    return f"no two faces agree in {count} folders: {_named(numbers.identities, strangers)}"


def _two_persons(numbers: CollectionNumbers) -> str | None:
    identities = numbers.identities
    mixed = identities.groups.all(axis=1)
    if not mixed.any():
        return None
    rows = np.flatnonzero(mixed)
    rows = rows[np.argsort(-identities.photos[rows], kind="stable")]
    names = [
        f"{identities.names[int(row)].as_py()} ({identities.groups[row, 0]:,} + {identities.groups[row, 1]:,} photos)"
        for row in rows[:MAX_NAMES]
    ]
    show = "shows" if len(rows) == 1 else "show"
    return f"{share_of(len(rows), len(identities))} folders {show} two persons: {_listed(names, len(rows))}"


def _same_person(numbers: CollectionNumbers) -> str | None:
    same = numbers.identities.same_person
    if same.sum() < max(SAME_PERSON_COUNT, SAME_PERSON_SHARE * len(same)):
        return None
    count = share_of(int(same.sum()), len(same))
    show = "shows" if same.sum() == 1 else "show"
    return f"{count} folders {show} the same person as another folder: {_named(numbers.identities, same)}"


def _soft(numbers: CollectionNumbers) -> str | None:
    if not numbers.sharpness < SOFT_SHARPNESS:
        return None
    lowered = f", and the limit was lowered to {numbers.lowered_sharpness:.2f}"
    return f"the median sharpness is {numbers.sharpness:.2f}" + lowered * (numbers.lowered_sharpness > 0)


def _stretched(numbers: CollectionNumbers) -> str | None:
    if not abs(np.log(numbers.stretch)) > np.log(NATURAL_STRETCH):
        return None
    return f"the median height over width of the faces is {numbers.stretch:.2f} of a natural one"


def _cropped(numbers: CollectionNumbers) -> str | None:
    if not numbers.inside < CROPPED_INSIDE:
        return None
    return (
        f"half of the faces have less than {numbers.inside:.0%} of their aligned crop inside the photo; the rest is "
        "black, and background in the label maps"
    )


def _landmarks(numbers: CollectionNumbers) -> str | None:
    rejected = sum(numbers.landmarks_rejected.values())
    if rejected < max(MIN_PHOTOS, MISFIT_SHARE * numbers.source_landmarks):
        return None
    reasons = sorted(numbers.landmarks_rejected.items(), key=lambda item: -item[1])[:MAX_NAMES]
    counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons)
    return f"{share_of(rejected, numbers.source_landmarks)} landmarks of the source do not fit their photos ({counts})"


def _skipped_files(numbers: CollectionNumbers) -> str | None:
    skipped = {ending: count for ending, count in numbers.ignored.items() if ending in PHOTO_FORMATS}
    total = sum(skipped.values())
    if total < min(SKIPPED_FILES, max(MIN_PHOTOS, SKIPPED_SHARE * numbers.photos)):
        return None
    largest = sorted(skipped.items(), key=lambda item: -item[1])[:MAX_NAMES]
    counts = ", ".join(f"{count:,} {ending}" for ending, count in largest)
    return f"{counted(total, 'skipped file')} may hold photos, beside {counted(numbers.photos, 'photo')}: {counts}"


CHECKS = (
    Check(
        "split_names",
        "most photos are in folders named like splits or collections (train, val, images)",
        _split_names,
        "the folders below ROOT are splits, and persons are one level further down",
        _PARENT,
    ),
    Check(
        "numbered_folders",
        "most photos are in numbered folders in which every photo shows another person",
        _numbered_folders,
        "the numbers are blocks of files, not persons (the layout of FFHQ)",
        NO_IDENTITIES,
        explained_by=("split_names",),
    ),
    Check(
        "strangers",
        "a folder in which no two faces agree",
        _stranger_folders,
        "the folders hold search results, groups or several persons",
        "curate report OUT shows examples under mixed_identity; if all of them shall be kept: " + ANY_PERSON,
        explained_by=("split_names", "numbered_folders"),
    ),
    *DOMINANT_CHECKS,
    Check(
        "half_dropped",
        "more than half of the photos are dropped",
        _half_dropped,
        *OTHER_KIND,
        explained_by=("split_names", "numbered_folders", *(check.name for check in DOMINANT_CHECKS)),
    ),
    Check(
        "two_persons",
        "a folder whose faces fall into two clear groups",
        _two_persons,
        "two persons of one name, or a couple's photos in one folder",
        "curate report OUT shows them; to give each second person an identity: tail -n +2 OUT/report/splits.csv >> "
        "OUT/overrides.csv && curate relate OUT && curate decide OUT",
        explained_by=("split_names",),
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
        "cropped_before",
        "the aligned crops of most faces reach beyond their photos",
        _cropped,
        "the photos were cropped or aligned before, and lack hair, ears or chins",
        "run curate clean on the uncropped photos; or, for tighter crops, with --template arcface-112 --out ANOTHER",
        explained_by=("mostly_cut_off",),
    ),
    Check(
        "source_landmarks",
        "many landmarks that the source supplies do not fit their photos",
        _landmarks,
        "the photos were resized, aligned or replaced after the landmarks were made",
        "nothing, faces were detected there instead; to use the landmarks, run curate clean on the original photos",
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


def _named(identities: IdentityNumbers, flags: Flags) -> str:
    """The largest of the flagged identities by name, with their numbers of photos."""
    rows = np.flatnonzero(flags)
    rows = rows[np.argsort(-identities.photos[rows], kind="stable")]
    names = [
        f"{identities.names[int(row)].as_py()} ({counted(int(identities.photos[row]), 'photo')})"
        for row in rows[:MAX_NAMES]
    ]
    return _listed(names, len(rows))


def _listed(names: Sequence[str], count: int) -> str:
    """Names, and how many more there are."""
    return ", ".join(names) + (f" and {count - len(names):,} more" if count > len(names) else "")
