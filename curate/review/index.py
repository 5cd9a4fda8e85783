"""The photos of a dataset as arrays, for a page that answers at once: about 100 bytes a photo are held in memory."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.decide.collection import DROP, KEEP, REVIEW
from curate.decide.rules import RULES, Policy
from curate.overrides import MOVE
from curate.report import doubts
from curate.review.document import VERDICT, Document
from manifests.layout import MANIFEST
from manifests.reader import Dataset
from manifests.schema import REASONS, VERDICTS
from manifests.table_file import TableFile

Ints = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]
Bits = npt.NDArray[np.uint32]

NONE = -1
"""Code of a missing identity, row, group or human verdict."""

OPEN_DOUBT = 0.2
"""Doubt from which a photo is in the queue; below are verdicts that are only close to a limit."""

KINDS = ("exact", "near")

_DROPS, _REVIEWS = (
    np.uint32(sum(1 << k for k, rule in enumerate(RULES) if rule.verdict == verdict)) for verdict in ("drop", "review")
)

_NAMED = ("identity", "source_identity", "nearest_identity", "suggested_identity", "same_person_as")
_PIXELS = ("shard", "crop_offset", "crop_length", "crop_crc")
COLUMNS = tuple(dict.fromkeys((*doubts.COLUMNS, *_NAMED, "duplicate_of", "duplicate_kind", *_PIXELS)))
"""Columns of the manifest that the index reads, with those of the charts."""


class Names:
    """Identities and their codes; a name that is new gets the next code."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._code: dict[str, int] = {}

    def code(self, name: str) -> int:
        """Return the code of a name."""
        if name not in self._code:
            self._code[name] = len(self.names)
            self.names.append(name)
        return self._code[name]

    def codes(self, column: pa.ChunkedArray) -> Ints:
        """Return the codes of a column; NONE for nulls."""
        encoded = column.combine_chunks().dictionary_encode()
        table = np.array([self.code(name) for name in encoded.dictionary.to_pylist()] + [NONE], np.int32)
        codes: Ints = table[pc.fill_null(encoded.indices, len(table) - 1).to_numpy(zero_copy_only=False)]
        return codes

    def __contains__(self, name: str) -> bool:
        return name in self._code


@dataclass
class PhotoIndex:
    """N photos in the order of the manifest.

    Attributes:
        image_id: (N,) strings.
        names: identities by code.
        identity, nearest, suggested, same_as: (N,) codes of identities.
        source, compared: (N,) those of the source, and those that `relate` compared the faces with.
        reasons: (N,) bit k is set where REASONS[k] applies.
        human: (N,) code of VERDICTS that a person gave.
        moved: (N,) whether a person gave the identity.
        doubt: (N,) 0-1, that of the policy's verdict, whatever a person decided.
        own, wrong: (N,) similarity to the identity's centroid, probability of another person.
        group: (N,) 1 or 2 where the identity shows two persons, else 0.
        copies: (N,) number of the duplicate group.
        copy_of, copy_kind: (N,) row of the photo that the group keeps, code of KINDS.
        shard, crop: (N,) code of the shard, (N, 3) offset, length and CRC-32 of the crop.
        shards: shards by code.
        starts: (buckets + 1,) first row of each bucket.
    """

    image_id: pa.Array
    names: Names
    identity: Ints
    source: Ints
    compared: Ints
    nearest: Ints
    suggested: Ints
    same_as: Ints
    reasons: Bits
    human: Codes
    moved: Flags
    doubt: Floats
    own: Floats
    wrong: Floats
    group: Codes
    copies: Ints
    copy_of: Ints
    copy_kind: Codes
    shard: Ints
    crop: npt.NDArray[np.int64]
    shards: list[str]
    starts: Rows

    def __len__(self) -> int:
        return len(self.identity)

    def policy_verdict(self, rows: Rows | slice = slice(None)) -> Codes:
        """Return the policy's verdicts, codes of VERDICTS."""
        return verdicts_of(self.reasons[rows])

    def verdict(self, rows: Rows | slice = slice(None)) -> Codes:
        """Return the verdicts, codes of VERDICTS; a person's prevails."""
        human = self.human[rows]
        return np.where(human >= 0, human, self.policy_verdict(rows)).astype(np.int8)

    def open(self, rows: Rows | slice = slice(None)) -> Flags:
        """Return which photos are doubtful and not decided by a person."""
        return (self.doubt[rows] >= OPEN_DOUBT) & (self.human[rows] < 0) & ~self.moved[rows]

    def ids(self, rows: Rows) -> list[str]:
        """Return the image_ids of rows."""
        values: list[str] = self.image_id.take(pa.array(rows)).to_pylist()
        return values

    def rows_of(self, image_ids: Iterable[str]) -> dict[str, int]:
        """Return the rows of these photos; those that the dataset lacks are left out."""
        wanted = pa.array(list(image_ids), pa.string())
        index = pc.index_in(self.image_id, wanted)
        rows = np.flatnonzero(np.asarray(pc.is_valid(index).to_numpy(zero_copy_only=False), bool))
        found = wanted.take(index.take(pa.array(rows))).to_pylist()
        return dict(zip(found, rows.tolist(), strict=True))

    def members(self, rows: Rows) -> Rows:
        """Return these rows and all photos of their duplicate groups, ascending."""
        groups = np.unique(self.copies[rows])
        groups = groups[groups != NONE]
        if not len(groups):
            return np.unique(rows)
        return np.union1d(rows, np.flatnonzero(np.isin(self.copies, groups)))

    def decide(self, document: Document, rows: Rows) -> None:
        """Set the human verdicts of rows from a document."""
        for row, image_id in zip(rows.tolist(), self.ids(rows), strict=True):
            verdict, moved = document.cells(VERDICT, image_id), document.cells(MOVE, image_id)
            self.human[row] = VERDICTS.index(verdict[1].strip().lower()) if verdict else NONE
            self.moved[row] = moved is not None

    def update(self, rows: Rows, manifest: pa.Table, policy: Policy) -> None:
        """Take over the rows of a manifest that was decided again."""
        self.identity[rows] = self.names.codes(manifest["identity"])
        self.nearest[rows] = self.names.codes(manifest["nearest_identity"])
        self.suggested[rows] = self.names.codes(manifest["suggested_identity"])
        self.same_as[rows] = self.names.codes(manifest["same_person_as"])
        self.reasons[rows] = packed(manifest["reasons"])
        self.doubt[rows] = policy_doubt(manifest, policy)
        self.own[rows] = manifest["own_similarity"].to_numpy()
        self.wrong[rows] = manifest["wrong_person"].to_numpy()
        self.group[rows] = pc.fill_null(manifest["person_group"], 0).to_numpy()
        kept = self._rows_within(rows, manifest["duplicate_of"])
        self.copy_of[rows] = kept
        kinds = pc.index_in(manifest["duplicate_kind"], pa.array(KINDS))
        self.copy_kind[rows] = pc.fill_null(kinds, NONE).to_numpy()

    def _rows_within(self, rows: Rows, image_ids: pa.ChunkedArray) -> Ints:
        """Rows of photos that are among `rows`."""
        place = pc.fill_null(pc.index_in(image_ids, self.image_id.take(pa.array(rows))), len(rows)).to_numpy()
        found: Ints = np.append(rows, NONE).astype(np.int32)[place]
        return found


def load_index(dataset: Dataset, policy: Policy, document: Document) -> PhotoIndex:
    """Read the index of a decided dataset whose manifest is up to date; policy: the one that was applied to it.

    Raises DatasetError where a table is missing or damaged.
    """
    file = TableFile(dataset.path / MANIFEST)
    charts = [chart.column for rule in RULES for chart in rule.charts]
    columns = list(dict.fromkeys((*COLUMNS, *charts)))
    tables = (file.read(columns, group) for group in range(file.row_groups))
    names, shards = Names(), Names()
    parts: list[dict[str, np.ndarray]] = [_part(table, policy, names, shards) for table in tables]
    image_id = pa.concat_arrays([part.pop("image_id") for part in parts])
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    copies, compared, starts = _relations(dataset, names)
    index = PhotoIndex(
        image_id=image_id,
        names=names,
        human=np.full(len(image_id), NONE, np.int8),
        moved=np.zeros(len(image_id), bool),
        copies=copies,
        compared=compared,
        copy_of=np.full(len(image_id), NONE, np.int32),
        shards=shards.names,
        starts=starts,
        **values,
    )
    decided = index.rows_of({key[1] for kind in (VERDICT, MOVE) for key in document.keys(kind)})
    index.decide(document, np.fromiter(decided.values(), np.int64))
    _link_copies(index, file)
    return index


def _part(table: pa.Table, policy: Policy, names: Names, shards: Names) -> dict[str, np.ndarray]:
    codes = {name: names.codes(table[name]) for name in _NAMED}
    kinds = pc.index_in(table["duplicate_kind"], pa.array(KINDS))
    return {
        "image_id": table["image_id"].combine_chunks(),
        "identity": codes["identity"],
        "source": codes["source_identity"],
        "nearest": codes["nearest_identity"],
        "suggested": codes["suggested_identity"],
        "same_as": codes["same_person_as"],
        "reasons": packed(table["reasons"]),
        "doubt": policy_doubt(table, policy),
        "own": table["own_similarity"].to_numpy(),
        "wrong": table["wrong_person"].to_numpy(),
        "group": pc.fill_null(table["person_group"], 0).to_numpy(),
        "copy_kind": pc.fill_null(kinds, NONE).to_numpy().astype(np.int8),
        "shard": shards.codes(table["shard"]),
        "crop": np.stack([pc.fill_null(table[name], 0).to_numpy().astype(np.int64) for name in _PIXELS[1:]], 1),
    }


def policy_doubt(manifest: pa.Table, policy: Policy) -> Floats:
    """Return the doubt of the policy's verdicts, (N,) float32, also where a person has decided."""
    doubtful = doubts.find_doubts(undecided(manifest), policy)
    doubt = np.zeros(manifest.num_rows, np.float32)
    doubt[doubtful.rows] = doubtful.doubt
    return doubt


def undecided(manifest: pa.Table) -> pa.Table:
    """Return rows of a manifest with the policy's verdicts in place of a person's."""
    verdicts = verdicts_of(packed(manifest["reasons"]))
    text = pa.array(VERDICTS, pa.string()).take(pa.array(verdicts))
    policy = pa.array(["policy"] * manifest.num_rows, pa.string())
    for name, values in (("verdict", text), ("verdict_source", policy)):
        manifest = manifest.set_column(manifest.schema.get_field_index(name), name, pa.chunked_array([values]))
    return manifest


def packed(reasons: pa.ChunkedArray) -> Bits:
    """Return lists of reasons as bits, (N,)."""
    lists = reasons.combine_chunks()
    codes = pc.index_in(lists.flatten(), pa.array(REASONS)).to_numpy()
    bits = np.zeros(len(lists), np.uint32)
    np.bitwise_or.at(bits, np.asarray(pc.list_parent_indices(lists)), np.uint32(1) << codes.astype(np.uint32))
    return bits


def verdicts_of(bits: Bits) -> Codes:
    """Return the verdicts that reasons give, (N,) codes of VERDICTS, as `curate.decide.collection.policy_verdicts`."""
    review = np.where(bits & _REVIEWS, np.int8(REVIEW), np.int8(KEEP))
    return np.where(bits & _DROPS, np.int8(DROP), review)


def _relations(dataset: Dataset, names: Names) -> tuple[Ints, Ints, Rows]:
    """Number of each photo's duplicate group, code of the identity it was compared with, first row of each bucket."""
    file = dataset.relations_file()
    groups, compared, starts = [], [], [0]
    for bucket in range(file.row_groups):
        table = file.read(["main", "identity", "duplicate_group"], bucket)
        main = table.filter(table["main"])
        groups.append(pc.fill_null(main["duplicate_group"], NONE).to_numpy())
        compared.append(names.codes(main["identity"]))
        starts.append(starts[-1] + len(main))
    values, inverse = np.unique(np.concatenate(groups), return_inverse=True)
    first = int(len(values) > 0 and values[0] == NONE)
    return (inverse.reshape(-1) - first).astype(np.int32), np.concatenate(compared), np.array(starts, np.int64)


def _link_copies(index: PhotoIndex, file: TableFile) -> None:
    """Set `copy_of` from the manifest's duplicate_of."""
    rows = np.flatnonzero(index.copies != NONE)
    column = file.read(["duplicate_of"])["duplicate_of"].combine_chunks().take(pa.array(rows))
    index.copy_of[rows] = index._rows_within(rows, column)
