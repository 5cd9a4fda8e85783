"""Measures and embeddings of a dataset in, `relations.parquet` out: how each face lies to its identity and to others.

Passes over the buckets, each holding one bucket's embeddings at a time:

1. a robust centre per identity; in group photos the face nearest it becomes the main face (`collection`, `identities`);
2. every face against all centres (`identities.nearest_others`); then the collection is judged as a whole (`mixture`),
   the centres are made again without the wrong persons, and faces are compared and judged once more;
3. the few photos whose hashes are close to another's (`duplicates`), to compare their embeddings;
4. the rows are written.

What is kept of all rows at once is numbers, about 200 bytes a row; the centres are 19 MB for 9,131 identities of 512
dimensions.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import DatasetError
from curate.relate import mixture
from curate.relate.centroids import COLUMNS, Bucket, Faces, Read, first_pass, refine
from curate.relate.copies import Confirm, Copies, find_copies
from curate.relate.duplicates import Limits
from curate.relate.exclude import Gallery, match
from curate.relate.identities import Others, Product, nearest_others
from curate.relate.pixel_check import PixelCheck
from curate.relate.similarity import GENERIC, Pairs, estimate_pairs
from manifests.layout import RELATIONS
from manifests.reader import Dataset
from manifests.schema import NO_IDENTITY, arrow_schema
from manifests.writer import write_table

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

_SAMPLE_FACES = 20_000
_SUGGEST_WRONG, _SUGGEST_FLIPPED = 0.2, 0.1
"""An identity is suggested where another person is at least so likely, and the nearest one makes up so much of that."""


@dataclass(frozen=True)
class Settings:
    """What relating depends on besides the rows.

    prior: the embedder's calibration. gallery: who is to be excluded. limits: what counts as one picture. confirm:
    looks at the pixels of near duplicates, given their face_ids. product: matrix product, numpy's or a GPU's.
    """

    prior: Pairs = GENERIC
    gallery: Gallery | None = None
    limits: Limits = field(default_factory=Limits)
    confirm: Confirm | None = None
    product: Product = np.matmul


@dataclass(frozen=True)
class Related:
    """A whole collection, judged: per bucket its faces, others and wrong persons; what identities are to each other."""

    faces: list[Faces]
    others: list[Others]
    wrong: list[Floats]
    flipped: list[Floats]
    pairs: Pairs
    share_flipped: float
    share_strange: float
    same_person: Rows
    copies: Copies

    @property
    def names(self) -> list[str]:
        """All identities, bucket by bucket: what `Others.nearest` counts."""
        return [name for part in self.faces for name in part.names]


def relate_collection(read: Read, buckets: int, settings: Settings) -> Related:
    """Passes 1 to 3 over buckets 0..buckets-1."""
    pairs = estimate_pairs(*_sample(read, buckets), settings.prior)
    faces = [first_pass(read(bucket), pairs) for bucket in range(buckets)]
    others, verdict = _judge(read, faces, pairs, settings)
    start = np.cumsum([0, *(len(part.face) for part in faces)])
    trust = [(1 - verdict.wrong[start[b] : start[b + 1]]).astype(np.float32) for b in range(buckets)]
    # That nothing speaks against a face is no reason to build on it: it counts as far as others support it.
    trust = [right * np.minimum(part.support, 1) for right, part in zip(trust, faces, strict=True)]
    faces = [refine(read(bucket), part, trust[bucket]) for bucket, part in enumerate(faces)]
    others, verdict = _judge(read, faces, pairs, settings)
    cut = [slice(start[b], start[b + 1]) for b in range(buckets)]
    same_person = _same_person(faces, pairs, settings.product)
    claim = _claims(faces, others, same_person)
    return Related(
        faces=faces,
        others=others,
        wrong=[verdict.wrong[rows].astype(np.float32) for rows in cut],
        flipped=[verdict.flipped[rows].astype(np.float32) for rows in cut],
        pairs=pairs,
        share_flipped=verdict.share_flipped,
        share_strange=verdict.share_strange,
        same_person=same_person,
        copies=find_copies(faces, read, settings.limits, settings.confirm, claim),
    )


def relation_rows(read: Read, bucket: int, related: Related, settings: Settings) -> pa.Table:
    """One bucket's rows of RELATIONS, in the order of its measures."""
    held = read(bucket)
    table, faces, others = held.measures, related.faces[bucket], related.others[bucket]
    names = pa.array(related.names, pa.string())
    wrong, flipped = related.wrong[bucket], related.flipped[bucket]
    loose = np.array([name == NO_IDENTITY for name in faces.names], bool)[faces.identity]
    suggested = (wrong >= _SUGGEST_WRONG) & (flipped >= _SUGGEST_FLIPPED * wrong)
    first = sum(len(part.names) for part in related.faces[:bucket])
    cohesion, purity = identity_numbers(faces, wrong)
    size = np.where(faces.face & ~loose, faces.size[faces.identity], -1)
    group = related.copies.of_bucket(bucket)
    reference, similarity = _excluded(held, faces, settings)
    columns = {
        "image_id": table["image_id"],
        "identity": table["identity"],
        "face_id": table["face_id"],
        "main": pa.array(faces.main),
        "own_similarity": _floats(faces.own),
        "nearest_identity": _taken(names, others.nearest),
        "nearest_similarity": _floats(others.similarity),
        "margin": _floats(faces.own - others.similarity),
        "identity_size": pa.array(size.astype(np.int32), mask=size < 0),
        "identity_cohesion": _floats(np.where(faces.face, cohesion[faces.identity], np.nan)),
        "identity_purity": _floats(np.where(faces.face, purity[faces.identity], np.nan)),
        "wrong_person": _floats(wrong),
        "suggested_identity": _taken(names, np.where(suggested, others.nearest, -1)),
        "same_person_as": _taken(names, related.same_person[first + faces.identity]),
        "duplicate_group": pa.array(group, mask=group < 0),
        "excluded_by": reference,
        "excluded_similarity": similarity,
    }
    schema = arrow_schema("relations")
    return pa.table([columns[name] for name in schema.names], names=schema.names).cast(schema)


def relate(dataset_dir: str | Path, settings: Settings | None = None, embedder_id: str | None = None) -> Related:
    """Write `relations.parquet` of a dataset, one row group per bucket, and return what was found.

    embedder_id: which vectors; by default those that the dataset was created with. Without `settings`, the calibration
    is taken from the weights table. Raises DatasetError where measures or embeddings are missing or do not match.
    """
    dataset = Dataset.open(dataset_dir)
    embedder_id = embedder_id or dataset.info.embedder_id
    if embedder_id is None:
        raise DatasetError(f"{dataset.path} does not say which embedder it was made with: name one")
    settings = settings or settings_for(dataset)

    def read(bucket: int) -> Bucket:
        face_ids, vectors = dataset.embeddings(embedder_id, bucket)
        measures = dataset.measures(bucket, COLUMNS)
        if not pa.array(face_ids, pa.string()).equals(measures["face_id"].combine_chunks().drop_null()):
            raise DatasetError(
                f"{dataset.path}: embeddings {embedder_id} of bucket {bucket} are of other faces than its measures: "
                "run `curate measure` again"
            )
        return Bucket(measures, vectors)

    related = relate_collection(read, dataset.buckets, settings)
    rows: Iterator[pa.Table] = (relation_rows(read, bucket, related, settings) for bucket in range(dataset.buckets))
    write_table(dataset.path / RELATIONS, rows, arrow_schema("relations"))
    return related


def settings_for(dataset: Dataset, gallery: Gallery | None = None) -> Settings:
    """What suits a dataset's embedder: its calibration, loose limits on hashes, and a look at the pixels in the end.

    Copies of a photo are more alike than two photos of the person: a fifth of the way from those to 1, at least, and
    most of them two thirds.
    """
    prior = calibrated(dataset.info.models.embedder.name)
    rest = 1 - prior.same_mean
    limits = Limits(
        whole_bits=8,
        face_bits=10,
        embedding=prior.same_mean + 0.2 * rest,
        twin=prior.same_mean + 0.65 * rest,
        sure=prior.same_mean - prior.same_std,
    )
    return Settings(prior=prior, gallery=gallery, limits=limits, confirm=PixelCheck(dataset))


def calibrated(embedder: str | None) -> Pairs:
    """Name of an embedder -> the Pairs of its calibration, or generic ones where the weights table has none."""
    from curate.faces.weights import REGISTRY

    found = REGISTRY[embedder].calibration if embedder in REGISTRY else None
    if found is None:
        return GENERIC
    return Pairs(found.same_mean, found.same_std, found.different_mean, found.different_std)


def identity_numbers(faces: Faces, wrong: Floats) -> tuple[Floats, Floats]:
    """Cohesion (median own similarity of main faces) and purity of each identity of a bucket, (K,) both.

    Purity is the share of the faces that are of the person at the centre, 0 where no two faces agree: a face that
    nobody supports counts for nothing. NaN for fewer than two faces.
    """
    count = len(faces.names)
    cohesion, purity = np.full(count, np.nan, np.float32), np.full(count, np.nan, np.float32)
    judged = np.flatnonzero(~np.isnan(wrong))
    supported = np.clip(faces.support[judged], 0, 1)
    right = np.bincount(faces.identity[judged], (1 - wrong[judged]) * supported, minlength=count)
    size = np.bincount(faces.identity[judged], minlength=count)
    several = size > 1
    purity[several] = right[several] / size[several]
    order = judged[np.lexsort((faces.own[judged], faces.identity[judged]))]
    bounds = np.concatenate([[0], np.cumsum(size)])
    low, high = bounds[:-1] + (size - 1) // 2, bounds[:-1] + size // 2
    own = faces.own[order]
    cohesion[several] = (own[low[several]] + own[high[several]]) / 2
    return cohesion, purity


def _judge(read: Read, faces: list[Faces], pairs: Pairs, settings: Settings) -> tuple[list[Others], mixture.Verdict]:
    """Every face against all centres, then the main faces of the whole collection judged; NaN for all other rows."""
    centres = np.concatenate([part.centres for part in faces])
    weight = np.concatenate([part.weight for part in faces])
    first = np.cumsum([0, *(len(part.names) for part in faces)])
    others = []
    for bucket, part in enumerate(faces):
        found = nearest_others(
            read(bucket).vectors, (part.identity + first[bucket])[part.face], centres, settings.product
        )
        others.append(found.at(part.face))
    identity = np.concatenate([part.identity + first[bucket] for bucket, part in enumerate(faces)])
    own = np.concatenate([part.own for part in faces]).astype(np.float64)
    trust = np.concatenate([part.trust for part in faces]).astype(np.float64)
    rows = np.flatnonzero(~np.isnan(own) & ~np.isnan(trust))
    nearest = np.concatenate([part.nearest for part in others])[rows]
    judged = mixture.judge(
        mixture.Evidence(
            own=own[rows],
            nearest=np.concatenate([part.similarity for part in others])[rows].astype(np.float64),
            support=np.concatenate([part.support for part in faces])[rows].astype(np.float64),
            nearest_support=np.where(nearest >= 0, weight[nearest], 0).astype(np.float64),
            chance_mean=np.concatenate([part.mean for part in others])[rows].astype(np.float64),
            chance_std=np.concatenate([part.std for part in others])[rows].astype(np.float64),
            quality=np.concatenate([part.quality for part in faces])[rows].astype(np.float64),
            identity=identity[rows],
            nearest_identity=nearest,
            trust=trust[rows],
        ),
        pairs,
    )
    wrong, flipped = np.full(len(own), np.nan), np.full(len(own), np.nan)
    wrong[rows], flipped[rows] = judged.wrong, judged.flipped
    return others, mixture.Verdict(wrong, flipped, judged.share_flipped, judged.share_strange)


def _same_person(faces: list[Faces], pairs: Pairs, product: Product) -> Rows:
    """For each identity the row of another one whose centre says that it is the same person, -1 for none.

    Two centres of m and n photos of one person are expected at r sqrt(m n) / sqrt((1+(m-1)r)(1+(n-1)r)), r the cosine
    of a pair. They count as one from 1.5 spreads below that, and 5 chance deviations above chance.
    """
    centres = np.concatenate([part.centres for part in faces])
    weight = np.maximum(np.concatenate([part.weight for part in faces]), 1)
    others = nearest_others(centres, np.arange(len(centres)), centres, product)
    r = max(pairs.same_mean, 0.05)
    gain = np.sqrt(weight / (1 + (weight - 1) * r))
    other = np.maximum(others.nearest, 0)
    expected = r * gain * gain[other]
    spread = pairs.same_std * np.sqrt(1 / weight + 1 / weight[other])
    far = np.nan_to_num(others.mean + 5 * others.std, nan=pairs.different_mean + 5 * pairs.different_std)
    alike = others.similarity >= np.maximum(expected - 1.5 * spread, np.minimum(far, 0.9))
    known = np.linalg.norm(centres, axis=1) > 0.5
    return np.where(known & alike & (others.nearest >= 0), others.nearest, -1)


def _claims(faces: list[Faces], others: list[Others], same_person: Rows) -> Rows:
    """For every row the other identity where copies of the photo may lie: the one that it resembles at least as much
    as its own, or the folder of the same person; -1 for none."""
    first = np.cumsum([0, *(len(part.names) for part in faces)])
    claims = []
    for bucket, (part, other) in enumerate(zip(faces, others, strict=True)):
        nearer = part.main & (other.similarity >= np.nan_to_num(part.own, nan=-1.0))
        claims.append(np.where(nearer, other.nearest, same_person[first[bucket] + part.identity]))
    return np.concatenate(claims)


def _sample(read: Read, buckets: int) -> tuple[Floats, Rows]:
    """Vectors of up to 20,000 main-sized faces from buckets spread over the dataset, and their identities."""
    vectors: list[Floats] = []
    identity: list[Rows] = []
    count = last = 0
    for bucket in np.unique(np.linspace(0, buckets - 1, min(buckets, 64)).astype(int)).tolist():
        held = read(bucket)
        table = held.measures.filter(held.measures["face_id"].is_valid())
        codes = table["identity"].combine_chunks().dictionary_encode()
        rows = np.flatnonzero(_first_faces(table) & (np.asarray(table["identity"].to_numpy()) != NO_IDENTITY))
        vectors.append(held.vectors[rows].astype(np.float32))
        identity.append(codes.indices.to_numpy()[rows].astype(np.int64) + last)
        last += len(codes.dictionary)
        count += len(rows)
        if count >= _SAMPLE_FACES:
            break
    return np.concatenate(vectors), np.concatenate(identity)


def _first_faces(table: pa.Table) -> npt.NDArray[np.bool_]:
    image_id = np.asarray(table["image_id"].to_numpy())
    return np.concatenate([[True], image_id[1:] != image_id[:-1]])[: len(image_id)]


def _excluded(held: Bucket, faces: Faces, settings: Settings) -> tuple[pa.Array, pa.Array]:
    """The gallery's references that the faces match, and the cosines to the nearest ones."""
    similarity = np.full(len(faces.face), np.nan, np.float32)
    reference = np.full(len(faces.face), -1, np.int64)
    if settings.gallery is None:
        return pa.nulls(len(similarity), pa.string()), _floats(similarity)
    found = match(held.vectors, settings.gallery, settings.product)
    similarity[faces.face], reference[faces.face] = found.similarity, found.reference
    return _taken(pa.array(settings.gallery.image_ids, pa.string()), reference), _floats(similarity)


def _floats(values: npt.NDArray[np.floating]) -> pa.Array:
    return pa.array(values.astype(np.float32), pa.float32(), from_pandas=True)


def _taken(values: pa.Array, rows: Rows) -> pa.Array:
    """values[rows], null where the row is -1."""
    return values.take(pa.array(rows, mask=rows < 0))
