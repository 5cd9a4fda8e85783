"""Error versus discard: whether dropping photos by their scores removes the ones that are not recognised.

`DiscardRequest` -> `run` -> `Discarded`. A dataset that is measured and related is judged by its own embeddings: the
false non-match rate (FNMR) of pairs of one identity, at the threshold that lets a share `fmr` of the pairs of two
identities match, while more and more photos are dropped: by each score, by all of them, by the policy, at random, and
by an oracle, which is computed from the errors (P. Grother and E. Tabassi, "Performance of biometric quality measures",
2007).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.decide.collection import decide_collection
from curate.decide.identity_rules import IDENTITY_RULES
from curate.decide.rule import as_flags
from curate.decide.rules import REVIEW_REASONS, Policy
from curate.decide.stored_parts import stored_parts
from curate.evaluate.discard_curve import Curve, Pairs, compare, curve, subset_rate
from curate.evaluate.discard_orders import SCORES, WRONG_PERSON, all_scores, oracle, tail_ranks
from curate.evaluate.discard_plot import discard_svg
from curate.listener import SILENT, Listener, progress
from curate.measure.sharpness import BlurCalibration
from manifests.output import OutputLock, atomic
from manifests.reader import Dataset
from manifests.schema import NO_IDENTITY
from manifests.writer import write_table

TABLE, PLOT = "discard.parquet", "discard.svg"

SHARES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3)
"""Shares of the photos that are dropped."""

MAX_PHOTOS = 20_000
"""Identities are drawn at random until they have so many photos."""

MAX_PER_IDENTITY = 400
"""Photos drawn of one identity: pairs grow with their square."""

RANDOM_DRAWS = 20

_COPIES = ("duplicate", "near_duplicate")
_IDENTITY_REASONS = tuple(rule.reason for rule in IDENTITY_RULES)
_COLUMNS = ("image_id", "identity", "face_id", "shard", "reasons")

SCHEMA = pa.schema(
    [
        pa.field("order", pa.string(), False, {"meaning": "by which photos are dropped: a score, 'all scores', ..."}),
        pa.field("share", pa.float64(), False, {"meaning": "share of the photos that are dropped"}),
        pa.field("photos", pa.int64(), False, {"meaning": "photos that are left"}),
        pa.field("pairs", pa.int64(), False, {"meaning": "pairs of one identity that are left"}),
        pa.field("false_non_matches", pa.int64(), False, {"meaning": "of these, below the threshold"}),
        pa.field("fnmr", pa.float64(), True, {"meaning": "false_non_matches / pairs", "null": "no pair is left"}),
        pa.field("fnmr_low", pa.float64(), True, {"meaning": "2.5% quantile over drawn identities or draws"}),
        pa.field("fnmr_high", pa.float64(), True, {"meaning": "97.5% quantile"}),
    ],
    {"swapset.table": "discard"},
)
"""Columns of discard.parquet."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class DiscardRequest:
    """What to evaluate.

    Attributes:
        dataset: Directory of a dataset that is measured and related. Only read.
        out: Folder for the table and the plot, not inside the dataset.
        policy: Whose verdicts are compared with the orders.
        calibration: Scores sharpness again; None keeps the measured scores.
        fmr: False match rate of the threshold, 0-1.
        seed: Of everything that is drawn.

    Raises ValueError for an fmr out of range.
    """

    dataset: Path
    out: Path
    policy: Policy = field(default_factory=Policy)
    calibration: BlurCalibration | None = None
    fmr: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fmr < 1:
            raise ValueError(f"fmr {self.fmr:g} is out of range: give a rate above 0 and below 1")


@dataclass(frozen=True)
class VerdictPoint:
    """What dropping by verdicts gives, and the rate of other orders after the same number of photos.

    Attributes:
        name: Which photos are dropped.
        curve: A curve of one point.
        all_scores, oracle: FNMR of those orders at the same share; at random it stays that of all photos.
    """

    name: str
    curve: Curve
    all_scores: float
    oracle: float


@dataclass(frozen=True)
class Discarded:
    """Result of `run`.

    Attributes:
        table: Rows of SCHEMA, those of the verdicts last.
        path, plot: The files.
        embedder_id: Whose embeddings judged.
        photos, identities: Photos that were compared, and their identities with two photos or more.
        copies, faceless: Photos left out because they are copies of others, or show no face.
        pairs: What was compared.
        curves: By order.
        points: The policy's verdicts.
    """

    table: pa.Table
    path: Path
    plot: Path
    embedder_id: str
    photos: int
    identities: int
    copies: int
    faceless: int
    pairs: Pairs
    curves: dict[str, Curve]
    points: list[VerdictPoint]


def run(request: DiscardRequest, listener: Listener = SILENT) -> Discarded:
    """Compare the photos, drop them in every order, and write `discard.parquet` and `discard.svg`.

    Copies are left out, as a photo always matches itself; so are photos without a face or an identity. Raises
    DatasetError where the dataset is not related, or has too few pairs for the rate; BusyError where another run
    uses OUT.
    """
    dataset = Dataset.open(request.dataset)
    embedder_id = dataset.info.embedder_id
    random = np.random.default_rng(request.seed)
    manifest = _manifest(dataset, request)
    named = np.asarray(pc.not_equal(manifest["identity"], NO_IDENTITY).to_numpy(zero_copy_only=False), bool)
    copy, face = _has_reason(manifest, _COPIES), as_flags(pc.is_valid(manifest["face_id"]))
    photos = manifest.filter(pa.array(named & face & ~copy))
    photos = photos.take(pa.array(_sample(photos["identity"], random)))
    identity = np.unique(np.array(photos["identity"].to_pylist(), np.str_), return_inverse=True)[1].reshape(-1)
    with progress(listener, "comparing", photos.num_rows) as advance:
        vectors = dataset.embeddings_for(photos, embedder_id)
        pairs = compare(vectors.astype(np.float32), identity, request.fmr, random, str(request.dataset), advance)
    curves = _curves(photos, pairs, random)
    points = _verdict_points(photos, pairs, curves, random)
    table = pa.Table.from_pylist(
        [row for name, each in curves.items() for row in each.rows(name)]
        + [row for point in points for row in point.curve.rows(point.name)],
        SCHEMA,
    )
    path, plot = request.out / TABLE, request.out / PLOT
    with OutputLock(request.out):
        footer = {
            "swapset.policy": request.policy.canonical_json(),
            "swapset.embedder_id": embedder_id,
            "swapset.threshold": repr(pairs.threshold),
        }
        write_table(path, table, SCHEMA, footer)
        with atomic(plot) as partial:
            partial.write_text(discard_svg(curves, [point.curve for point in points[:1]], request.fmr))
    return Discarded(
        table=table,
        path=path,
        plot=plot,
        embedder_id=embedder_id,
        photos=photos.num_rows,
        identities=pairs.identities,
        copies=int((copy & named).sum()),
        faceless=int((~face & named).sum()),
        pairs=pairs,
        curves=curves,
        points=points,
    )


def _manifest(dataset: Dataset, request: DiscardRequest) -> pa.Table:
    """The columns that are needed of the manifest that the policy gives, human verdicts left aside."""
    collection = decide_collection(stored_parts(dataset, request.calibration), request.policy)
    names = [*_COLUMNS, *dict.fromkeys(name for score in SCORES for name in score.columns)]
    return pa.concat_tables([table.select(names) for table in collection.tables()]).combine_chunks()


def _sample(identity: pa.ChunkedArray, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rows of at most MAX_PER_IDENTITY photos of identities in random order, until there are MAX_PHOTOS."""
    codes = identity.combine_chunks().dictionary_encode().indices.to_numpy()
    shuffled = random.permutation(len(codes))
    by_identity = shuffled[np.argsort(codes[shuffled], kind="stable")]
    groups = np.split(by_identity, np.flatnonzero(np.diff(codes[by_identity])) + 1)
    chosen: list[npt.NDArray[np.int64]] = []
    for k in random.permutation(len(groups)).tolist():
        if sum(map(len, chosen)) >= MAX_PHOTOS:
            break
        chosen.append(groups[k][:MAX_PER_IDENTITY])
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.int64)


def _curves(photos: pa.Table, pairs: Pairs, random: np.random.Generator) -> dict[str, Curve]:
    ranks = {score.name: tail_ranks(score, photos, random) for score in SCORES}
    orders = {"all scores": all_scores([rank for name, rank in ranks.items() if name != WRONG_PERSON], random)}
    orders |= ranks | {"oracle": oracle(pairs, random)}
    curves = {name: curve(pairs, np.argsort(rank, kind="stable"), SHARES) for name, rank in orders.items()}
    draws = [random.permutation(photos.num_rows) for _ in range(RANDOM_DRAWS)]
    return {"random": Curve.of_draws([curve(pairs, draw, SHARES) for draw in draws]), **curves}


def _verdict_points(
    photos: pa.Table, pairs: Pairs, curves: dict[str, Curve], random: np.random.Generator
) -> list[VerdictPoint]:
    reasons = sorted({reason for row in photos["reasons"].to_pylist() for reason in row})
    dropping = [reason for reason in reasons if reason not in REVIEW_REASONS]
    of_photo = [reason for reason in reasons if reason not in _IDENTITY_REASONS]
    groups: list[tuple[str, Sequence[str]]] = [
        ("policy, reasons of the photo", [reason for reason in of_photo if reason in dropping]),
        ("policy, dropped", dropping),
        ("policy, dropped or to review", reasons),
        *((f"only {reason}", [reason]) for reason in reasons),
    ]
    points = []
    for name, group in groups:
        dropped = _has_reason(photos, group)
        if not dropped.any():
            continue
        at = curve(pairs, np.argsort(~dropped, kind="stable"), (dropped.mean(),))
        by = {order: subset_rate(curves[order], float(dropped.mean())) for order in ("all scores", "oracle")}
        points.append(VerdictPoint(name, at, by["all scores"], by["oracle"]))
    return points


def _has_reason(manifest: pa.Table, reasons: Sequence[str]) -> Flags:
    lists = manifest["reasons"].combine_chunks()
    flags = np.zeros(manifest.num_rows, bool)
    matching = pc.is_in(pc.list_flatten(lists), pa.array(list(reasons), pa.string())).to_numpy(zero_copy_only=False)
    flags[pc.list_parent_indices(lists).to_numpy()[matching]] = True
    return flags
