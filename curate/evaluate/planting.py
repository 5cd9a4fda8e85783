"""A clean collection in, the same with known faults out: which photo lies where, and what is wrong with it.

Wrong persons need no pixels: a photo is listed under another folder (`flip`), or gives way to one of a person who is
taken out of the collection (`stranger`). Blur and copies do: they refer to photos that `spoil` made before. Every photo
gets one fault at most.
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
COPIES = ("same bytes", "re-encoded", "resized", "mirrored", "cropped")
WRONG_PERSONS = ("flip", "stranger")

REASON = (
    dict.fromkeys(WRONG_PERSONS, "other_person")
    | dict.fromkeys(BLURS, "blurred")
    | dict.fromkeys(COPIES, "near_duplicate")
    | {"same bytes": "duplicate"}
)
"""Kind of fault -> the reason that a photo with it should be dropped for."""

FAULTS = ("other_person", "blurred", "duplicates")
"""What can be asked for; each is planted at the full rate."""

MAX_SHARE = Fraction(9, 10)
"""Of the photos with a face, how many may get a fault."""


@dataclass(frozen=True)
class Spoiled:
    """For each of P photos of the collection: the photo that is its blurred version or its copy, -1 for none, and how
    it was made. A copy of kind 'same bytes' is the photo itself."""

    blurred: Rows
    blur: Names
    copy: Rows
    copied: Names


@dataclass(frozen=True)
class Draw:
    """A collection with faults: Q photos (rows of the untouched or spoiled ones), the folder that each lies in, the
    kind of its fault ('' for none), and for a copy the place in the draw of what it copies (-1 otherwise)."""

    photo: Rows
    folder: Names
    fault: Names
    original: Rows

    @property
    def reason(self) -> Names:
        """(Q,) the reason that each should be dropped for, '' for none."""
        return np.array([REASON.get(kind, "") for kind in self.fault.tolist()], np.str_)


def untouched(identity: Names) -> Draw:
    """P photos as they are."""
    nothing = np.full(len(identity), -1, np.int64)
    return Draw(np.arange(len(identity)), identity, np.full(len(identity), "", "U32"), nothing)


def draw(identity: Names, usable: Flags, spoiled: Spoiled, faults: tuple[str, ...], rate: float, seed: int) -> Draw:
    """identity, usable (P,) -> the collection with each of `faults` planted in a share `rate` of its usable photos.

    Half of the wrong persons are flips, half strangers: photos of a tenth of the people, who are taken out. No stranger
    appears twice, so where they run out the rest are flips. Blur takes a photo's place, a copy joins it. The same
    arguments give the same draw.
    """
    random = np.random.default_rng([seed, round(rate * 1_000_000)])
    claimed = usable & (identity != NO_IDENTITY)
    people = np.unique(identity[claimed])
    out = np.zeros(len(identity), bool)
    if "other_person" in faults and len(people) >= 3:
        out = np.isin(identity, random.choice(people, max(1, round(len(people) / 10)), replace=False))
    slot = np.flatnonzero(~out)
    photo, folder = slot.copy(), identity[slot]
    fault = np.full(len(slot), "", "U32")
    free = random.permutation(np.flatnonzero(usable[slot]))
    count = max(1, round(rate * len(free)))

    def take(suited: Flags) -> Rows:
        """Up to `count` of the photos without a fault, of those that suit."""
        chosen = free[suited[slot[free]] & (fault[free] == "")][:count]
        return np.asarray(chosen, np.int64)

    copied = np.empty(0, np.int64)
    if "duplicates" in faults:
        copied = take(spoiled.copy >= 0)
        fault[copied] = "original"  # taken, for the moment
    if "blurred" in faults:
        chosen = take(spoiled.blurred >= 0)
        photo[chosen], fault[chosen] = spoiled.blurred[slot[chosen]], spoiled.blur[slot[chosen]]
    if "other_person" in faults and len(people) >= 2:
        chosen = take(claimed)
        strangers = random.permutation(np.flatnonzero(out & claimed))
        strange = min((len(chosen) + int(random.integers(2))) // 2, len(strangers))
        photo[chosen[:strange]], fault[chosen[:strange]] = strangers[:strange], "stranger"
        folder[chosen[strange:]] = _elsewhere(folder[chosen[strange:]], identity[slot[claimed[slot]]], random)
        fault[chosen[strange:]] = "flip"
    fault[copied] = ""
    return Draw(
        np.concatenate([photo, spoiled.copy[slot[copied]]]),
        np.concatenate([folder, folder[copied]]),
        np.concatenate([fault, spoiled.copied[slot[copied]]]),
        np.concatenate([np.full(len(slot), -1, np.int64), copied]),
    )


def _elsewhere(home: Names, folders: Names, random: np.random.Generator) -> Names:
    """For each photo another folder than its own, drawn as often as the folder has photos."""
    away = home.copy()
    while len(left := np.flatnonzero(away == home)):
        away[left] = folders[random.integers(len(folders), size=len(left))]
    return away
