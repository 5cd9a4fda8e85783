"""(measures, relations, Policy, overrides) -> one row per photo: the verdict and every reason for it.

No pixels, no clock. `decide_photos` is pure; `decide` streams a dataset through it, bucket by bucket, and rewrites
`manifest.parquet` alone.
"""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.decide.overrides import FILE_NAME, Overrides, create_overrides, read_overrides, unknown_overrides
from curate.decide.policy import Policy
from curate.decide.sharpness_limit import collection_limit
from curate.errors import DatasetError
from curate.relate.photo_quality import quality_keys
from manifests import layout
from manifests.landmarks import TEMPLATES
from manifests.reader import Dataset
from manifests.schema import NO_IDENTITY, REASONS, arrow_schema
from manifests.writer import write_table

if TYPE_CHECKING:
    from curate.measure.sharpness import BlurCalibration

Flags = npt.NDArray[np.bool_]

"""Identity of photos that lie in the source's root: no claim about who they show, so no reason from it."""

GROUP_ROWS = 1 << 16
"""Buckets are decided, and written as one row group of the manifest, until they hold so many faces: every group costs
a piece of each of its 70 columns."""

_THREADS = 2
"""That read at a time: Arrow works outside the GIL, and each holds a group's columns."""

_DUPLICATE, _NEAR = REASONS.index("duplicate"), REASONS.index("near_duplicate")


@dataclass(frozen=True)
class Duplicates:
    """Which photo each duplicate yields to, for the whole dataset: image_id -> the kept photo and the kind.

    `of` and `kind` are aligned with `image_id`; kind is 'exact' or 'near'.
    """

    image_id: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    of: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    kind: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))


@dataclass(frozen=True)
class Decided:
    """What `decide` found: photos in all, photos kept, photos per reason, and overrides that name no photo."""

    photos: int
    kept: int
    reasons: dict[str, int]
    warnings: list[str]


def decide(dataset_dir: str | Path, policy: Policy, calibration: "BlurCalibration | None" = None) -> Decided:
    """Write `manifest.parquet` of the dataset from its measures, relations and overrides.csv (made empty if absent).

    calibration: scores sharpness anew from the stored statistics; None leaves it as it was measured. A row group holds
    whole buckets; the policy and its hash go into the footer, and the calibration's hash where there is one.
    Raises DatasetError where the relations are missing or belong to other measures, PolicyError for a faulty
    overrides.csv, OutputError where it cannot write.
    """
    dataset = Dataset.open(dataset_dir)
    create_overrides(dataset.path / FILE_NAME)
    overrides = read_overrides(dataset.path / FILE_NAME)
    relations = _Relations(dataset, calibration)
    footer = _footer(policy, calibration)
    if policy.adapt_sharpness:
        # All else is decided bucket by bucket; how soft a collection is shows only in the whole.
        policy = replace(policy, min_sharpness=collection_limit(relations.sharpness(), policy.min_sharpness))
        footer[layout.SHARPNESS_LIMIT] = f"{policy.min_sharpness:.4f}"

    def grouped(buckets: Sequence[int]) -> pa.Table:
        return grouped_photos(*relations.beside(buckets, _FATE_COLUMNS), policy, overrides)

    with ThreadPoolExecutor(_THREADS) as pool:
        duplicates = settle_duplicates(list(pool.map(grouped, relations.groups(with_copies=True))))
    counts = np.zeros(len(REASONS), np.int64)
    tally = {"photos": 0, "kept": 0}
    unseen = set(overrides.verdicts)

    def decided(buckets: Sequence[int]) -> pa.Table:
        return decide_photos(*relations.beside(buckets), policy, overrides, duplicates)

    def photos() -> Iterator[pa.Table]:
        # One thread reads and decides the next buckets while these are written: Arrow works outside the GIL.
        with ThreadPoolExecutor(1) as pool:
            groups = relations.groups()
            ahead = pool.submit(decided, groups[0])
            for following in [*groups[1:], None]:
                table = ahead.result()
                if following is not None:
                    ahead = pool.submit(decided, following)
                tally["photos"] += table.num_rows
                tally["kept"] += pc.sum(pc.equal(table["verdict"].combine_chunks().indices, 0)).as_py() or 0
                words = pc.index_in(pc.list_flatten(table["reasons"]), pa.array(REASONS)).to_numpy()
                np.add(counts, np.bincount(words, minlength=len(REASONS)), out=counts)
                if unseen:
                    unseen.difference_update(
                        table.filter(pc.is_in(table["image_id"], pa.array(unseen)))["image_id"].to_pylist()
                    )
                yield table

    write_table(dataset.path / layout.MANIFEST, photos(), arrow_schema("manifest"), footer)
    reasons = {reason: int(count) for reason, count in zip(REASONS, counts, strict=True)}
    return Decided(tally["photos"], tally["kept"], reasons, unknown_overrides(overrides, unseen))


def _footer(policy: Policy, calibration: "BlurCalibration | None") -> dict[str, str]:
    """What the manifest says of how it was decided."""
    told = {layout.POLICY: policy.canonical_json(), layout.POLICY_HASH: policy.sha256()}
    if calibration is None:
        return told
    from curate.decide.rescore import calibration_sha256

    made_by = calibration_sha256(calibration)
    # Another calibration is another decision: who compares the policy's hash must see it.
    both = hashlib.sha256(f"{policy.sha256()} {made_by}".encode()).hexdigest()
    return told | {layout.POLICY_HASH: both, layout.CALIBRATION_HASH: made_by}


class _Relations:
    """relations.parquet, opened once: its footer grows with the buckets, and to read it for each would be quadratic."""

    def __init__(self, dataset: Dataset, calibration: "BlurCalibration | None" = None) -> None:
        self.path = dataset.path / layout.RELATIONS
        self._dataset, self._calibration = dataset, calibration
        dataset.relations(0, [])  # a missing file, a damaged one and another schema version are told here
        self._file = pq.ParquetFile(self.path)
        self._reading = threading.Lock()  # one open file serves one thread at a time
        if self._file.num_row_groups != dataset.buckets:
            raise DatasetError(
                f"{self.path} has {self._file.num_row_groups} row groups for {dataset.buckets} buckets: "
                "run `curate relate` again"
            )

    def beside(self, buckets: Sequence[int], columns: Sequence[str] | None = None) -> tuple[pa.Table, pa.Table]:
        """Measures (of `columns`) and relations of some buckets, row for row of the same faces."""
        measures = pa.concat_tables([self._measures(bucket, columns) for bucket in buckets])
        with self._reading:
            related = self._file.read_row_groups(list(buckets))
        if not all(measures[name].equals(related[name]) for name in ("image_id", "face_id")):
            raise DatasetError(f"{self.path} is of other measures (buckets {buckets}): run `curate relate` again")
        return measures, related

    def groups(self, with_copies: bool = False) -> list[list[int]]:
        """The buckets in order, some together until they hold GROUP_ROWS faces; `with_copies` leaves out those
        without a duplicate group."""
        groups: list[list[int]] = []
        rows = GROUP_ROWS
        for bucket in range(self._file.num_row_groups):
            faces = self._file.metadata.row_group(bucket).num_rows
            if with_copies and self._copies(bucket) == 0:
                continue
            if rows >= GROUP_ROWS:
                groups.append([])
                rows = 0
            groups[-1].append(bucket)
            rows += faces
        return groups

    def sharpness(self) -> npt.NDArray[np.float32]:
        """Scores of all faces."""

        def read(bucket: int) -> npt.NDArray[np.float32]:
            return np.asarray(self._measures(bucket, ["sharpness"])["sharpness"].to_numpy())

        with ThreadPoolExecutor(_THREADS) as pool:
            return np.concatenate(list(pool.map(read, range(self._dataset.buckets))))

    def _copies(self, bucket: int) -> int:
        """Rows of a bucket that lie in a duplicate group."""
        column = self._file.read_row_group(bucket, ["duplicate_group"])["duplicate_group"]
        return len(column) - int(column.null_count)

    def _measures(self, bucket: int, columns: Sequence[str] | None) -> pa.Table:
        if self._calibration is None:
            return self._dataset.measures(bucket, columns)
        from curate.decide.rescore import COLUMNS, rescored

        wanted = None if columns is None else list(dict.fromkeys([*columns, *COLUMNS]))
        template = TEMPLATES[self._dataset.info.template]
        return rescored(self._dataset.measures(bucket, wanted), self._calibration, template.size[0])


def decide_photos(
    measures: pa.Table,
    relations: pa.Table,
    policy: Policy,
    overrides: Overrides | None = None,
    duplicates: Duplicates | None = None,
) -> pa.Table:
    """MEASURES and RELATIONS, the same rows in the same order -> MANIFEST, one row per photo (its `main` row).

    `duplicates`: what `settle_duplicates` found in the whole dataset; None settles these rows alone.
    `reasons` holds all that apply, in the order of REASONS, also where an override keeps the photo.
    """
    overrides = overrides or Overrides()
    measures, relations = _main_rows(measures, relations)
    if duplicates is None:
        duplicates = settle_duplicates([grouped_photos(measures, relations, policy, overrides)])
    reasons = photo_reasons(measures, relations, policy)
    yields = pc.index_in(measures["image_id"], duplicates.image_id)
    of, kind = (pc.take(values, yields) for values in (duplicates.of, duplicates.kind))
    reasons[:, _DUPLICATE] = policy.drop_duplicates & _flags(pc.equal(kind, "exact"))
    reasons[:, _NEAR] = policy.drop_near_duplicates & _flags(pc.equal(kind, "near"))

    human = _human(measures["image_id"], overrides)
    drop = np.where(human >= 0, human == 1, reasons.any(axis=1))
    schema = arrow_schema("manifest")
    told = {
        "verdict": _coded(drop, ["keep", "drop"]),
        "verdict_source": _coded(human >= 0, ["policy", "override"]),
        "reasons": _listed(reasons),
        "duplicate_of": of,
        "duplicate_kind": kind,
    }
    for name in schema.names:
        if name not in told:
            told[name] = (measures if name in measures.column_names else relations)[name]
    return pa.table([told[name] for name in schema.names], schema=schema)


def photo_reasons(measures: pa.Table, relations: pa.Table, policy: Policy) -> Flags:
    """(N, 13) which of REASONS apply to each row by its own numbers; the duplicates' columns stay False.

    A number that is missing speaks for no reason.
    """
    found = np.zeros((measures.num_rows, len(REASONS)), bool)
    claimed = _flags(pc.not_equal(measures["identity"], NO_IDENTITY))

    def of(name: str) -> npt.NDArray[np.float64]:
        column = (measures if name in measures.column_names else relations)[name]
        return np.asarray(column.to_numpy(), dtype=np.float64)

    def mark(reason: str, rows: Flags) -> None:
        found[:, REASONS.index(reason)] = rows

    broken = _flags(pc.is_valid(measures["error"]))
    mark("undecodable", broken)
    mark("no_face", ~broken & _flags(pc.is_null(measures["face_id"])))
    small = np.fmin(of("width"), of("height")) < policy.min_side
    mark("too_small", small | (of("eye_distance") < policy.min_eye_distance) | (of("upscale") > policy.max_upscale))
    mark("blurred", of("sharpness") < policy.min_sharpness)
    stretch = of("stretch")
    far_from_natural = np.abs(np.log(stretch))
    mark("stretched", (far_from_natural > np.log(policy.max_stretch)) & (far_from_natural > 3 * of("stretch_error")))
    torn = (of("corruption") > policy.max_corruption) | (of("flat_rows") > policy.max_flat_rows)
    mark("corrupt_pixels", torn | (of("flat_fraction") > policy.max_flat_fraction))
    dim = (of("brightness") < policy.min_brightness) & (of("local_contrast") < policy.min_local_contrast)
    mark("too_dark", dim | (of("clipped_dark") > policy.max_clipped_dark))
    mark("too_bright", of("clipped_bright") > policy.max_clipped_bright)
    mark("other_person", claimed & (of("wrong_person") >= policy.max_wrong_person))
    mark("mixed_identity", claimed & (of("identity_purity") < policy.min_identity_purity))
    matches = _flags(pc.is_valid(relations["excluded_by"]))
    far = of("excluded_similarity") < policy.min_excluded_similarity
    mark("excluded", matches & ~far & policy.drop_excluded)
    return found


_FATE_COLUMNS = (
    "image_id", "identity", "face_id", "error", "sha256", "file_size", "width", "height", "flat_rows", "eye_distance",
    "upscale", "sharpness", "stretch", "corruption", "clipped_dark", "clipped_bright", "brightness", "local_contrast",
    "stretch_error", "flat_fraction",
)  # fmt: skip
"""Columns of the measures that a photo's own reasons, and its place among its copies, depend on."""

_RANKED = ("image_id", "identity", "sha256", "eye_distance", "sharpness", "file_size")


def grouped_photos(measures: pa.Table, relations: pa.Table, policy: Policy, overrides: Overrides) -> pa.Table:
    """The rows that lie in a duplicate group, with what `settle_duplicates` needs: how each ranks, and its own fate."""
    chosen = np.flatnonzero(_flags(pc.is_valid(relations["duplicate_group"])) & _flags(relations["main"]))
    measures, relations = measures.take(chosen), relations.take(chosen)
    human = _human(measures["image_id"], overrides)
    # 0 a human keeps it, 1 no reason of its own, 2 it is dropped whatever its copies are
    fate = np.where(
        human == 0, 0, np.where((human == 1) | photo_reasons(measures, relations, policy).any(axis=1), 2, 1)
    )
    columns = {name: measures[name] for name in _RANKED}
    columns |= {name: relations[name] for name in ("duplicate_group", "own_similarity")}
    return pa.table(columns | {"fate": pa.array(fate, pa.int8())})


def settle_duplicates(parts: list[pa.Table]) -> Duplicates:
    """`grouped_photos` of all buckets -> which photo each copy yields to.

    The rule: of each group one photo stands, and the others yield to it. It is the first, in the order of
    `_kept_first`, of those that a human keeps; else of those that nothing else drops; else of all (then it is
    dropped for reasons of its own, and the copies name it all the same). A copy is 'exact' where its bytes equal the
    standing photo's or an earlier copy's, else 'near'.
    """
    if not parts or not sum(part.num_rows for part in parts):
        return Duplicates()
    rows = pa.concat_tables(parts).combine_chunks()
    group = np.unique(rows["duplicate_group"].to_numpy(), return_inverse=True)[1].reshape(-1)
    identity = _codes(rows["identity"])
    order = _kept_first(
        group * 3 + rows["fate"].to_numpy(), identity, rows["own_similarity"].to_numpy(), *_quality(rows)
    )
    of_group, content = group[order], _codes(rows["sha256"])[order]
    start = np.searchsorted(of_group, of_group)
    copies = start != np.arange(len(order))
    # The same bytes as any photo before it in its group.
    _, first = np.unique(np.stack([of_group, content], axis=1), axis=0, return_index=True)
    exact = np.ones(len(order), bool)
    exact[first] = False
    known = _flags(pc.is_valid(rows["sha256"]))[order]
    image_id = rows["image_id"].combine_chunks()
    return Duplicates(
        image_id.take(order[copies]),
        image_id.take(order[start[copies]]),
        pa.array(np.where(exact & known, "exact", "near")[copies], pa.string()),
    )


def _quality(rows: pa.Table) -> tuple[npt.NDArray[Any], ...]:
    """Sort keys of photos of one picture, the least significant one first: image_id, then `quality_keys`."""
    numbers = (rows[name].to_numpy() for name in ("eye_distance", "sharpness", "file_size"))
    return _codes(rows["image_id"]), *quality_keys(*numbers)


def _kept_first(
    group: npt.NDArray[np.int64],
    identity: npt.NDArray[np.int64],
    own_similarity: npt.NDArray[np.float32],
    *quality: npt.NDArray[Any],
) -> npt.NDArray[np.int64]:
    """Return the order of N photos by ascending group, the photo to keep of each group first.

    Where a group spans several identities, the identity of the photo with the highest similarity to its own centroid
    comes first; then `quality` decides. NaN similarities come last.
    """
    own = np.nan_to_num(own_similarity, nan=-2.0)
    codes, inverse = np.unique(np.stack([group, identity], axis=1), axis=0, return_inverse=True)
    claim = np.full(len(codes), -2.0, np.float32)
    np.maximum.at(claim, inverse.reshape(-1), own)
    return np.lexsort((*quality, identity, -claim[inverse.reshape(-1)], group))


def _main_rows(measures: pa.Table, relations: pa.Table) -> tuple[pa.Table, pa.Table]:
    if measures.num_rows != relations.num_rows:
        raise ValueError(f"{measures.num_rows} rows of measures, but {relations.num_rows} of relations: relate again")
    main = relations["main"]
    if pc.all(main).as_py() is not False:
        return measures.combine_chunks(), relations.combine_chunks()
    return measures.filter(main).combine_chunks(), relations.filter(main).combine_chunks()


def _human(image_id: pa.ChunkedArray, overrides: Overrides) -> npt.NDArray[np.int8]:
    """-1 where no human decided, 0 keep, 1 drop."""
    if not overrides.verdicts:
        return np.full(len(image_id), -1, np.int8)
    at = pc.fill_null(pc.index_in(image_id, pa.array(list(overrides.verdicts), pa.string())), -1).to_numpy()
    words = np.array([verdict == "drop" for verdict in overrides.verdicts.values()], np.int8)
    return np.where(at >= 0, words[at], np.int8(-1))


def _flags(values: pa.ChunkedArray | pa.Array) -> Flags:
    """Arrow booleans -> numpy; null counts as False."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=bool)


def _codes(values: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Strings -> integers in the same order."""
    order = pc.rank(values.combine_chunks(), sort_keys="ascending", tiebreaker="dense")
    return np.asarray(order.to_numpy(), dtype=np.int64)


def _coded(values: Flags, words: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int8)), pa.array(words, pa.string()))


def _listed(reasons: Flags) -> pa.ListArray:
    """(N, 13) flags -> a list of words per row, in the order of REASONS."""
    offsets = np.concatenate([[0], np.cumsum(reasons.sum(axis=1))]).astype(np.int32)
    words = pa.array(REASONS, pa.string()).take(pa.array(np.nonzero(reasons)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), words)
