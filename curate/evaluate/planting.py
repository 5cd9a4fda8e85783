"""Known faults planted in a clean collection: the folder and the fault of each photo.

Wrong persons need no new pixels: a photo is listed in another folder (`flip`), or is replaced by one of a person who is
removed from the collection (`stranger`); a folder of two persons takes the photos of a second one. Blurred versions,
copies, and harmless versions, which should be kept, refer to files of `planted_files`. A photo gets at most one fault.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from curate.evaluate.degradations import LADDER
from manifests.schema import NO_IDENTITY

Rows = npt.NDArray[np.int64]
Names = npt.NDArray[np.str_]
Flags = npt.NDArray[np.bool_]

BLURS = tuple(rung.name for rung in LADDER if rung.blurred)
SAME_BYTES = "same bytes"
COPIES = (SAME_BYTES, "re-encoded", "resized", "mirrored", "cropped", "enlarged", "bordered")
WRONG_PERSONS = ("flip", "stranger")
SECOND_PERSON = "second of two"
SMALL_PROFILE = "small profile"
HARMLESS = ("border", "padding", "turned by 90", "turned by 180", SMALL_PROFILE)
"""Versions that look like faults and are none: they should be kept."""

REASON = (
    dict.fromkeys(WRONG_PERSONS, "other_person")
    | dict.fromkeys(BLURS, "blurred")
    | dict.fromkeys(COPIES, "near_duplicate")
    | {SAME_BYTES: "duplicate", SECOND_PERSON: "second_person"}
)
"""Kind of fault -> the reason for which a photo with it should be dropped or reviewed."""

DEFAULT_FAULTS = ("other_person", "blurred", "duplicates")
FAULTS = (*DEFAULT_FAULTS, "harmless", "mixed_folders")
"""Faults that can be requested; each is planted at the full rate, mixed folders in that share of the people."""

MAX_SHARE = Fraction(9, 10)
"""Share of the photos with a face that may get a fault."""

MIN_MIXED = 5
"""Photos of each person of a mixed folder; with fewer, `person_group` is not determined."""

_PEOPLE_PER_STRANGER = 10
_MIN_PEOPLE = 3  # for strangers


@dataclass(frozen=True)
class PlantedVersions:
    """Degraded versions of the P photos of a collection.

    Attributes:
        blurred: (P,) photo that is the blurred version of each, -1 for none.
        blur: (P,) kind of its blur.
        copy: (P,) photo that is a copy of each, -1 for none; the photo itself for SAME_BYTES.
        copy_kind: (P,) one of COPIES.
        harmless: (P,) photo that is a harmless version of each, -1 for none.
        harmless_kind: (P,) one of HARMLESS.
    """

    blurred: Rows
    blur: Names
    copy: Rows
    copy_kind: Names
    harmless: Rows
    harmless_kind: Names

    @classmethod
    def none(cls, count: int) -> "PlantedVersions":
        """No versions of `count` photos."""
        photos, kinds = np.full(count, -1), np.full(count, "", "U32")
        return cls(photos, kinds, photos.copy(), kinds.copy(), photos.copy(), kinds.copy())


@dataclass(frozen=True)
class Draw:
    """A collection of Q photos with planted faults.

    Attributes:
        photo: (Q,) photo of the untouched collection, or one of the planted versions.
        folder: (Q,) identity under which it is listed.
        fault: (Q,) kind of its fault, '' for none.
        original: (Q,) position in the draw of the photo that a copy copies, -1 otherwise.
    """

    photo: Rows
    folder: Names
    fault: Names
    original: Rows

    @property
    def reason(self) -> Names:
        """(Q,) reason for which each photo should be dropped or reviewed, '' for none."""
        return np.array([REASON.get(kind, "") for kind in self.fault.tolist()], np.str_)


def untouched(identity: Names) -> Draw:
    """Return the draw of P photos without any fault."""
    no_original = np.full(len(identity), -1, np.int64)
    return Draw(np.arange(len(identity)), identity, np.full(len(identity), "", "U32"), no_original)


def plant(
    identity: Names, usable: Flags, versions: PlantedVersions, faults: tuple[str, ...], rate: float, seed: int
) -> Draw:
    """Plant each of `faults` in a share `rate` of the usable photos. The same arguments give the same draw.

    Half of the wrong persons are flips, half strangers: photos of a tenth of the people, who are removed from the
    collection. No stranger's photo is used twice; where they run out, the rest are flips. A blurred or harmless version
    replaces its photo, a copy is added. A mixed folder takes photos of a second person, fewer than its own; the
    rest of that person is removed, and the photos of the folder get no other fault.

    Args:
        identity: (P,).
        usable: (P,) photos that may get a fault.
        versions: Blurred and harmless versions and copies of the P photos.
        faults: Some of FAULTS.
        rate: Above 0, at most MAX_SHARE / len(faults).
        seed: Of the random choice.
    """
    random = np.random.default_rng([seed, round(rate * 1_000_000)])
    identified = usable & (identity != NO_IDENTITY)
    people = np.unique(identity[identified])
    removed = np.zeros(len(identity), bool)
    if "other_person" in faults and len(people) >= _MIN_PEOPLE:
        strangers = random.choice(people, max(1, round(len(people) / _PEOPLE_PER_STRANGER)), replace=False)
        removed = np.isin(identity, strangers)
    mixed = np.full(len(identity), "", identity.dtype)
    if "mixed_folders" in faults:
        mixed, left_out = mixed_folders(identity, identified & ~removed, rate, random)
        removed |= left_out
    slot = np.flatnonzero(~removed)
    photo, folder = slot.copy(), np.where(mixed[slot] != "", mixed[slot], identity[slot])
    fault = np.where((mixed[slot] != "") & (mixed[slot] != identity[slot]), SECOND_PERSON, "").astype("U32")
    order = random.permutation(np.flatnonzero(usable[slot]))
    count = max(1, round(rate * len(order)))
    order = order[mixed[slot[order]] == ""]

    def choose(suitable: Flags) -> Rows:
        """Up to `count` of the suitable photos without a fault."""
        chosen = order[suitable[slot[order]] & (fault[order] == "")][:count]
        return np.asarray(chosen, np.int64)

    copied = np.empty(0, np.int64)
    if "duplicates" in faults:
        copied = choose(versions.copy >= 0)
        fault[copied] = "original"  # excludes them from the other faults; reset below
    if "blurred" in faults:
        chosen = choose(versions.blurred >= 0)
        photo[chosen], fault[chosen] = versions.blurred[slot[chosen]], versions.blur[slot[chosen]]
    if "harmless" in faults:
        chosen = choose(versions.harmless >= 0)
        photo[chosen], fault[chosen] = versions.harmless[slot[chosen]], versions.harmless_kind[slot[chosen]]
    if "other_person" in faults and len(people) >= 2:
        chosen = choose(identified)
        stranger_photos = random.permutation(np.flatnonzero(removed & identified))
        replaced = min((len(chosen) + int(random.integers(2))) // 2, len(stranger_photos))
        photo[chosen[:replaced]], fault[chosen[:replaced]] = stranger_photos[:replaced], "stranger"
        flipped = chosen[replaced:]
        folder[flipped] = other_folders(folder[flipped], identity[slot[identified[slot]]], random)
        fault[flipped] = "flip"
    fault[copied] = ""
    return Draw(
        np.concatenate([photo, versions.copy[slot[copied]]]),
        np.concatenate([folder, folder[copied]]),
        np.concatenate([fault, versions.copy_kind[slot[copied]]]),
        np.concatenate([np.full(len(slot), -1, np.int64), copied]),
    )


def mixed_folders(identity: Names, suitable: Flags, share: float, random: np.random.Generator) -> tuple[Names, Flags]:
    """Join a share of the people with MIN_MIXED photos or more in pairs, at least one pair where there are two.

    Returns:
        (P,) folder of the photos of mixed folders, '' for all others; (P,) photos that are left out.
    """
    folder, left_out = np.full(len(identity), "", identity.dtype), np.zeros(len(identity), bool)
    people, photos = np.unique(identity[suitable], return_counts=True)
    drawn = random.permutation(np.flatnonzero(photos >= MIN_MIXED))
    drawn = drawn[: 2 * max(1, round(share * len(drawn) / 2))]
    for first, second in zip(drawn[::2], drawn[1::2], strict=False):
        larger, smaller = (first, second) if photos[first] > photos[second] else (second, first)
        own = np.flatnonzero(suitable & (identity == people[larger]))
        other = random.permutation(np.flatnonzero(suitable & (identity == people[smaller])))
        moved = other[: min(len(other), len(own) - 1)]
        left_out[identity == people[smaller]] = True
        left_out[moved] = False
        folder[own], folder[moved] = people[larger], people[larger]
    return folder, left_out


def other_folders(own: Names, folders: Names, random: np.random.Generator) -> Names:
    """Draw a folder other than its own for each photo; `folders` lists each one as often as it has photos."""
    drawn = own.copy()
    while len(left := np.flatnonzero(drawn == own)):
        drawn[left] = folders[random.integers(len(folders), size=len(left))]
    return drawn
