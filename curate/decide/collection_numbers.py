"""The numbers of a decided collection that checks read, gathered while the manifest is written."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.schema import NO_IDENTITY, VERDICTS

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class IdentityNumbers:
    """The K identities of a collection; photos that have no identity are left out.

    Attributes:
        names: (K,) strings.
        photos: (K,) photos.
        faces: (K,) faces that the centroid was computed from.
        purity: (K,) share of the faces that show the person at the centroid, 0-1; NaN where it is not defined.
        same_person: (K,) whether another identity shows the same person.
        groups: (K, 2) photos of either person where the identity shows two, else 0.
    """

    names: pa.StringArray
    photos: Counts
    faces: Counts
    purity: Floats
    same_person: Flags
    groups: Counts

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class CollectionNumbers:
    """Numbers of a decided collection.

    Attributes:
        photos, dropped, review: photos in all, the dropped ones, and those to review.
        reasons: photos to which each reason applies.
        identities: one entry per identity.
        sharpness, stretch, inside: medians over the main faces; NaN without a face.
        lowered_sharpness: the sharpness limit where it was lowered for this collection; NaN where it was not.
        source_landmarks: photos whose landmarks the source supplied.
        landmarks_rejected: reason -> photos whose supplied landmarks were not used.
        ignored: extension -> files of the source that are not photos.
    """

    photos: int
    dropped: int
    review: int
    reasons: dict[str, int]
    identities: IdentityNumbers
    sharpness: float
    stretch: float
    inside: float
    lowered_sharpness: float
    source_landmarks: int
    landmarks_rejected: Mapping[str, int]
    ignored: Mapping[str, int]


class CollectionTally:
    """Gathers `CollectionNumbers` from the manifest, one table of whole identities at a time."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.photos = 0
        self.verdicts = dict.fromkeys(VERDICTS, 0)
        self._names = pa.array(reasons, pa.string())
        self._counts = np.zeros(len(reasons), np.int64)
        self._identities: list[IdentityNumbers] = []
        self._sharpness: list[npt.NDArray[np.float32]] = []
        self._stretch: list[npt.NDArray[np.float32]] = []
        self._inside: list[npt.NDArray[np.float32]] = []
        self._accepted = 0
        self._rejected: Counter[str] = Counter()

    def add(self, table: pa.Table) -> None:
        """Count the MANIFEST rows of some identities."""
        self.photos += table.num_rows
        for entry in pc.value_counts(table["verdict"].cast(pa.string())).to_pylist():
            self.verdicts[entry["values"]] += entry["counts"]
        codes = pc.index_in(pc.list_flatten(table["reasons"]), self._names).to_numpy()
        self._counts += np.bincount(codes, minlength=len(self._counts))
        self._identities.append(_identity_numbers(table))
        self._sharpness.append(table["sharpness"].to_numpy())
        self._stretch.append(table["stretch"].to_numpy())
        self._inside.append(table["inside"].to_numpy())
        self._accepted += pc.sum(pc.equal(table["landmark_source"], "source")).as_py() or 0
        rejections = pc.value_counts(table["landmarks_rejected"].drop_null())
        self._rejected.update({entry["values"]: entry["counts"] for entry in rejections.to_pylist()})

    @property
    def reasons(self) -> dict[str, int]:
        """Photos to which each reason applies."""
        return dict(zip(self._names.to_pylist(), self._counts.tolist(), strict=True))

    def numbers(self, lowered_sharpness: float, ignored: Mapping[str, int]) -> CollectionNumbers:
        """Return the numbers of all tables; the arguments as in `CollectionNumbers`."""
        return CollectionNumbers(
            photos=self.photos,
            dropped=self.verdicts["drop"],
            review=self.verdicts["review"],
            reasons=self.reasons,
            identities=_concatenated(self._identities),
            sharpness=_median(self._sharpness),
            stretch=_median(self._stretch),
            inside=_median(self._inside),
            lowered_sharpness=lowered_sharpness,
            source_landmarks=self._accepted + self._rejected.total(),
            landmarks_rejected=self._rejected,
            ignored=ignored,
        )


def _identity_numbers(table: pa.Table) -> IdentityNumbers:
    encoded = table["identity"].combine_chunks().dictionary_encode()
    code, count = np.asarray(encoded.indices), len(encoded.dictionary)
    faces, purity = np.zeros(count, np.int64), np.full(count, np.nan)
    np.maximum.at(faces, code, _values(table, "identity_size", 0).astype(np.int64))
    np.fmax.at(purity, code, _values(table, "identity_purity", np.nan))
    matched = np.asarray(pc.is_valid(table["same_person_as"]).to_numpy(), bool)
    photos, same = np.bincount(code, minlength=count), np.bincount(code[matched], minlength=count) > 0
    group = _values(table, "person_group", 0).astype(np.int64)
    groups = np.bincount(3 * code + group, minlength=3 * count).reshape(count, 3)[:, 1:]
    named = np.asarray(pc.not_equal(encoded.dictionary, NO_IDENTITY).to_numpy(zero_copy_only=False), bool)
    return IdentityNumbers(
        encoded.dictionary.filter(pa.array(named)),
        photos[named],
        faces[named],
        purity[named],
        same[named],
        groups[named],
    )


def _concatenated(parts: Sequence[IdentityNumbers]) -> IdentityNumbers:
    if not parts:
        empty = np.empty(0, np.int64)
        floats, flags = empty.astype(np.float64), empty.astype(bool)
        return IdentityNumbers(pa.array([], pa.string()), empty, empty, floats, flags, empty.reshape(0, 2))
    # Photos that a person moved are in another table than those of their identity.
    encoded = pa.concat_arrays([part.names for part in parts]).dictionary_encode()
    code, count = np.asarray(encoded.indices), len(encoded.dictionary)
    photos, faces = np.zeros(count, np.int64), np.zeros(count, np.int64)
    purity, same, groups = np.full(count, np.nan), np.zeros(count, bool), np.zeros((count, 2), np.int64)
    np.add.at(photos, code, np.concatenate([part.photos for part in parts]))
    np.maximum.at(faces, code, np.concatenate([part.faces for part in parts]))
    np.fmax.at(purity, code, np.concatenate([part.purity for part in parts]))
    np.logical_or.at(same, code, np.concatenate([part.same_person for part in parts]))
    np.add.at(groups, code, np.concatenate([part.groups for part in parts]))
    return IdentityNumbers(encoded.dictionary, photos, faces, purity, same, groups)


def _values(table: pa.Table, name: str, null: float) -> Floats:
    return np.asarray(pc.fill_null(table[name].cast(pa.float64()), null).to_numpy(), np.float64)


def _median(parts: Sequence[npt.NDArray[np.float32]]) -> float:
    values = np.concatenate([np.empty(0, np.float32), *parts])
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else float("nan")
