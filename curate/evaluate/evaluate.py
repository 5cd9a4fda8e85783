"""A clean folder in; out, how right the verdicts are on it: precision, recall and F1 for each reason, good photos lost.

Known faults are planted (`planting`, `spoil`), the collection is related and decided anew, and what is dropped is
compared with what was planted (`outcome`). Photos are measured once: another rate, seed or policy only relates and
decides again. Blurred photos and copies are looked for by the detector, also where the source brings landmarks.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.decide.collection import TablePart, decide_collection
from curate.decide.policy import Policy
from curate.decide.rescore import rescored
from curate.errors import SourceError
from curate.evaluate.degradations import EYE_DISTANCE
from curate.evaluate.outcome import SCHEMA, Outcome, tabulate
from curate.evaluate.planting import (
    BLURS,
    COPIES,
    FAULTS,
    MAX_SHARE,
    Draw,
    Flags,
    Names,
    Rows,
    Spoiled,
    draw,
    untouched,
)
from curate.evaluate.spoil import Order, spoil
from curate.listener import SILENT, Listener, progress
from curate.measure.measure import MeasureRequest, plan, run
from curate.measure.sharpness import BlurCalibration
from curate.relate.bucket import MeasuredBucket
from curate.relate.duplicates import Confirm
from curate.relate.pixel_check import is_same_picture
from curate.relate.relate import RelateSettings, default_settings, relate_collection
from curate.relate.relations import relation_rows
from curate.sources import open_source
from manifests.landmarks import TEMPLATES
from manifests.reader import Dataset, decode_crop
from manifests.schema import REASONS
from manifests.writer import write_table

EVALUATION = "evaluation.parquet"

SPARE = 2
"""Blurred versions and copies are made of so many times the photos that one draw needs: seeds differ in which."""
LEAST_SCALE = 0.5
"""Faces with fewer px than that for one of the 256 px face scale are not blurred: they have no detail to lose."""

_ROWS_PER_BUCKET = 16_384


@dataclass(frozen=True)
class Experiment:
    """What to plant: each of `faults` in a share of the photos with a face, for each of `rates`, `seeds` times."""

    rates: tuple[float, ...] = (0.01, 0.05, 0.2)
    seeds: int = 5
    faults: tuple[str, ...] = FAULTS

    def check(self) -> None:
        """Raises ValueError for a fault that is not known, or a rate that no draw can have."""
        unknown = [name for name in self.faults if name not in FAULTS]
        if unknown or not self.faults:
            raise ValueError(f"no fault is called {', '.join(unknown) or ''!r}; choose of {', '.join(FAULTS)}")
        most = MAX_SHARE / len(self.faults)
        for rate in self.rates:
            if not 0 < rate <= most:
                raise ValueError(
                    f"rate {rate:g} is out of range: a photo gets one fault, and there are {len(self.faults)} kinds, "
                    f"so give rates above 0 and up to {float(most):g}, or fewer kinds"
                )


@dataclass(frozen=True)
class Collection:
    """P photos with M measured rows: `own` of the folder's, then those that were made of them.

    measures, vectors: (M,) rows and (M, D) float16, zeros without a face. start: (P + 1,) first row of each photo.
    image_id, identity, usable: (P,); a photo with a face is usable. datasets: where the crops of rows below and from
    `start[own]` lie.
    """

    measures: pa.Table
    vectors: npt.NDArray[np.float16]
    start: Rows
    image_id: Names
    identity: Names
    usable: Flags
    own: int
    datasets: tuple[Dataset, ...]


def evaluate(
    request: MeasureRequest,
    experiment: Experiment,
    policy: Policy,
    listener: Listener = SILENT,
    calibration: BlurCalibration | None = None,
) -> pa.Table:
    """A request whose `out` is a folder for the evaluation -> `out/evaluation.parquet`, the same returned as a table.

    Columns: `outcome.SCHEMA`; rate 0 is the folder as it is. `out` keeps what was measured (`untouched`, `planted`), so
    that another call is cheap; nothing is written into the source. Hold the output's lock. Raises SourceError where
    nothing can be planted, and as `curate.measure.plan`.
    """
    experiment.check()
    # The planted photos are measured with the models of the untouched ones, also if others are installed meanwhile.
    request = request.with_models(replace(request, out=request.out / "untouched").choose_models())
    measured = _measured(replace(request, out=request.out / "untouched"), listener)
    collection = read_collection(measured)
    if not collection.usable.any():
        raise SourceError(f"{request.root}: no photo shows a face, so nothing can be planted; give another --root")
    collection, spoiled = _with_spoiled(request, collection, experiment, listener)

    decide = Decider(collection, default_settings(measured), policy, calibration)
    own = slice(0, collection.own)
    clean_draw = untouched(collection.identity[own])
    outcomes = [Outcome(0.0, 0, clean_draw, decide(clean_draw))]
    draws = len(experiment.rates) * experiment.seeds
    with progress(listener, "evaluating", draws * collection.own) as advance:
        for rate in experiment.rates:
            for seed in range(experiment.seeds):
                one = draw(collection.identity[own], collection.usable[own], spoiled, experiment.faults, rate, seed)
                outcomes.append(Outcome(rate, seed, one, decide(one)))
                advance(collection.own)
    table = tabulate(outcomes)
    write_table(request.out / EVALUATION, table, SCHEMA, {"swapset.policy": policy.canonical_json()})
    return table


class Decider:
    """Relates and decides draws of a collection: a draw -> (Q, 13) which of REASONS drop each of its photos."""

    def __init__(
        self,
        collection: Collection,
        settings: RelateSettings,
        policy: Policy,
        calibration: BlurCalibration | None = None,
    ) -> None:
        self.collection = collection
        self.settings = settings
        self.policy = policy
        self.calibration = calibration
        self._same: dict[tuple[int, int], bool] = {}

    def __call__(self, one: Draw) -> Flags:
        order, row, table = self._table(one)
        parts = _parts(table["identity"].to_pylist())
        held = [MeasuredBucket(table.slice(a, b - a), self._vectors(row[a:b])) for a, b in parts]
        settings = replace(self.settings, confirm=self._confirm(table["face_id"].to_pylist(), row))
        related = relate_collection(held.__getitem__, len(held), settings)
        rows = [relation_rows(part, bucket, related, settings.gallery) for bucket, part in enumerate(held)]
        collection = [TablePart(self._scored(bucket.measures), part) for bucket, part in zip(held, rows, strict=True)]
        manifest = decide_collection(collection, self.policy).table()
        assert manifest.num_rows == len(order)

        found = np.zeros((len(order), len(REASONS)), bool)
        lists = manifest["reasons"].combine_chunks()
        words = pc.index_in(pc.list_flatten(lists), pa.array(REASONS)).to_numpy()
        found[order[pc.list_parent_indices(lists).to_numpy()], words] = True
        place = pc.fill_null(
            pc.index_in(manifest["duplicate_of"], manifest["image_id"].combine_chunks()), -1
        ).to_numpy()
        yields_to = np.full(len(order), -1, np.int64)
        yields_to[order] = np.where(place >= 0, order[place], -1)
        return _as_the_copy(found, yields_to, one)

    def _table(self, one: Draw) -> tuple[Rows, Rows, pa.Table]:
        """A draw -> its photos in the order of shards, their rows in the collection, and those rows renamed."""
        held = self.collection
        name = np.array(
            [
                f"{image_id} (copy)" if fault == COPIES[0] else image_id
                for image_id, fault in zip(held.image_id[one.photo].tolist(), one.fault.tolist(), strict=True)
            ]
        )
        order = np.lexsort((name, one.folder))
        first, count = held.start[one.photo[order]], np.diff(held.start)[one.photo[order]]
        nth = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        row = np.repeat(first, count) + nth
        image_id = np.repeat(name[order], count)
        table = held.measures.take(pa.array(row))
        face_id = pa.array(
            [f"{photo}#{k}" for photo, k in zip(image_id.tolist(), nth.tolist(), strict=True)],
            mask=~table["face_id"].is_valid().to_numpy(),
        )
        identity = pa.array(np.repeat(one.folder[order], count).tolist(), pa.string())
        for key, values in (
            ("image_id", pa.array(image_id.tolist(), pa.string())),
            ("identity", identity),
            ("face_id", face_id),
        ):
            index = table.schema.get_field_index(key)
            table = table.set_column(index, table.schema.field(index), values)
        return order, row, table

    def _vectors(self, row: Rows) -> npt.NDArray[np.float16]:
        face = self.collection.measures["face_id"].is_valid().to_numpy()[row]
        vectors: npt.NDArray[np.float16] = self.collection.vectors[row[face]]
        return vectors

    def _scored(self, measures: pa.Table) -> pa.Table:
        if self.calibration is None:
            return measures
        template = self.collection.datasets[0].info.template
        return rescored(measures, self.calibration, TEMPLATES[template].size[0])

    def _confirm(self, face_ids: list[str | None], row: Rows) -> Confirm:
        """`pixel_check` across the datasets; what it said of two crops holds for all draws."""

        def confirm(first: Sequence[str], second: Sequence[str]) -> Flags:
            of_face = dict(zip(face_ids, row.tolist(), strict=True))
            pairs = [(of_face[a], of_face[b]) for a, b in zip(first, second, strict=True)]
            unknown = [pair for pair in dict.fromkeys(pairs) if pair not in self._same]
            with ThreadPoolExecutor(2) as pool:
                said = pool.map(lambda pair: is_same_picture(self._crop(pair[0]), self._crop(pair[1])), unknown)
                self._same |= dict(zip(unknown, said, strict=True))
            return np.array([self._same[pair] for pair in pairs], bool)

        return confirm

    def _crop(self, row: int) -> npt.NDArray[np.uint8]:
        held = self.collection
        dataset = held.datasets[int(row >= held.start[held.own])]
        where = [held.measures[name][row].as_py() for name in ("shard", "crop_offset", "crop_length")]
        return decode_crop(dataset.pixels.read(*where))


def _as_the_copy(found: Flags, yields_to: Rows, one: Draw) -> Flags:
    """Where a planted copy stands and the photo that it copies yields to it, that is the copy's own drop."""
    found = found.copy()
    copies = np.flatnonzero(one.original >= 0)
    copies = copies[yields_to[one.original[copies]] == copies]
    for reason in (REASONS.index("duplicate"), REASONS.index("near_duplicate")):
        found[copies, reason] |= found[one.original[copies], reason]
        found[one.original[copies], reason] = False
    return found


def _parts(identity: list[str]) -> list[tuple[int, int]]:
    """Identities, in order -> first row and end of shards of whole identities."""
    bounds, start = [], 0
    for at in range(1, len(identity)):
        if at - start >= _ROWS_PER_BUCKET and identity[at] != identity[at - 1]:
            bounds.append((start, at))
            start = at
    return [*bounds, (start, len(identity))]


def read_collection(dataset: Dataset) -> Collection:
    """A measured dataset -> all of it at once, about 3 kB a photo."""
    tables, vectors = [], []
    for bucket in range(dataset.buckets):
        table = dataset.measures(bucket)
        held = dataset.embeddings(dataset.info.embedder_id, bucket)[1]
        rows = np.zeros((table.num_rows, held.shape[1]), np.float16)
        rows[table["face_id"].is_valid().to_numpy()] = held
        tables.append(table)
        vectors.append(rows)
    measures = pa.concat_tables(tables).combine_chunks()
    names = np.array(measures["image_id"].to_pylist())
    start = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]]))
    return Collection(
        measures=measures,
        vectors=np.concatenate(vectors),
        start=np.append(start, len(names)),
        image_id=names[start],
        identity=np.array(measures["identity"].to_pylist())[start],
        usable=measures["face_id"].is_valid().to_numpy()[start],
        own=len(start),
        datasets=(dataset,),
    )


def _measured(request: MeasureRequest, listener: Listener) -> Dataset:
    run(plan(request), listener)
    return Dataset.open(request.out)


def _orders(collection: Collection, experiment: Experiment) -> tuple[dict[int, Order], dict[int, Order]]:
    """Which photos to make blurred versions of, and which copies, by photo; the same ones in every run."""
    template = TEMPLATES[collection.datasets[0].info.template]
    crop_eyes = float(np.linalg.norm(template.points[:, 1] - template.points[:, 0], axis=1).max())
    upscale = np.asarray(collection.measures["upscale"].to_numpy(), np.float64)[collection.start[:-1]]
    scale = crop_eyes / upscale / EYE_DISTANCE
    most = int(np.ceil(SPARE * max(experiment.rates, default=0) * collection.own))

    def chosen(suited: Flags, kinds: tuple[str, ...], seed: int) -> dict[int, Order]:
        photos = np.random.default_rng(seed).permutation(np.flatnonzero(suited))[:most].tolist()
        return {
            photo: Order(
                str(collection.identity[photo]),
                str(collection.image_id[photo]),
                collection.measures["sha256"][int(collection.start[photo])].as_py(),
                kinds[nth % len(kinds)],
                float(scale[photo]),
            )
            for nth, photo in enumerate(photos)
        }

    nobody = np.zeros(len(scale), bool)
    blurrable = collection.usable & (np.nan_to_num(scale) >= LEAST_SCALE)
    return (
        chosen(blurrable if "blurred" in experiment.faults else nobody, BLURS, 1),
        chosen(collection.usable if "duplicates" in experiment.faults else nobody, COPIES, 2),
    )


def _with_spoiled(
    request: MeasureRequest, collection: Collection, experiment: Experiment, listener: Listener
) -> tuple[Collection, Spoiled]:
    """Makes and measures what needs new pixels -> the collection with it, and which photo is which."""
    blurs, copies = _orders(collection, experiment)
    count = collection.own
    spoiled = Spoiled(np.full(count, -1), np.full(count, "", "U32"), np.full(count, -1), np.full(count, "", "U32"))
    files = [order for order in (*blurs.values(), *copies.values()) if order.kind != COPIES[0]]
    if files:
        folder = request.out / "planted" / "photos"
        with progress(listener, "planting", len(files)) as advance:
            spoil(open_source(request.layout, request.root), files, folder, advance)
        made = _measured(
            replace(request, layout="folder", root=folder, out=request.out / "planted" / "measured", limit=None),
            listener,
        )
        planted = read_collection(made)
        of_file = {name: count + at for at, name in enumerate(planted.image_id.tolist())}
        names = {order.name: f"{order.image_id} ({order.kind})" for order in files}
        collection = replace(
            collection,
            measures=pa.concat_tables([collection.measures, planted.measures]).combine_chunks(),
            vectors=np.concatenate([collection.vectors, planted.vectors]),
            start=np.concatenate([collection.start[:-1], collection.start[-1] + planted.start]),
            # What lies there of another call keeps the name of its file; no draw refers to it.
            image_id=np.concatenate(
                [collection.image_id, [names.get(name, name) for name in planted.image_id.tolist()]]
            ),
            identity=np.concatenate([collection.identity, planted.identity]),
            usable=np.concatenate([collection.usable, planted.usable]),
            datasets=(*collection.datasets, made),
        )
    else:
        of_file = {}
    for orders, photo, kind in ((blurs, spoiled.blurred, spoiled.blur), (copies, spoiled.copy, spoiled.copied)):
        for own, order in orders.items():
            photo[own] = own if order.kind == COPIES[0] else of_file.get(order.name, -1)
            kind[own] = order.kind
    return collection, spoiled
