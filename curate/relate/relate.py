"""Relate the faces of a measured dataset to each other: `relations.parquet` from measures and embeddings.

Passes over the buckets, of which each thread holds the embeddings of one at a time:

1. the robust centroid of each identity; in group photos the face nearest to it becomes the main face (`identities`);
2. every face against the centroids of all other identities (`other_identities`), and the mixture that gives the
   probability of a wrong person (`label_noise`); then the centroids are computed again without the wrong persons, and
   both are repeated;
3. duplicate groups: the embeddings of the few photos whose hashes are close (`duplicates`), and the order of the
   photos of each (`copies`);
4. the rows are written (`relations`).

Of all rows together only numbers are held, about 200 bytes a row, and measures and embeddings of the first buckets, up
to `bucket.CACHED_BYTES`; the centroids of 9,131 identities with 512 dimensions take 19 MB. The results of passes are
kept in the dataset until the rows are written (`passes`).
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.lineage import made_from, measured_inputs
from curate.listener import SILENT, Listener
from curate.overrides import FILE_NAME, read_overrides
from curate.relate import REVISION
from curate.relate.bucket import ReadBucket, bucket_reader, each_result, map_buckets, sample_faces
from curate.relate.candidates import DuplicateLimits
from curate.relate.copies import order_copies
from curate.relate.corrected_buckets import CorrectedBuckets
from curate.relate.duplicates import Confirm, DuplicateGroups, find_duplicates
from curate.relate.exclude import Gallery
from curate.relate.identities import BucketFaces, identity_offsets, refine, relate_bucket
from curate.relate.label_noise import find_wrong_persons
from curate.relate.other_identities import Centroids, Comparison, OtherIdentities, other_identities
from curate.relate.passes import Passes
from curate.relate.pixel_check import PixelCheck
from curate.relate.relations import Related, relation_rows
from curate.relate.row_reader import RowReader
from curate.relate.same_person import alternative_identities, same_person
from curate.relate.similarity import GENERIC, PairSimilarity, calibrated, estimate_similarity
from manifests.layout import RELATIONS
from manifests.output import OutputLock
from manifests.reader import Dataset
from manifests.schema import arrow_schema
from manifests.writer import write_table

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RelateSettings:
    """Parameters of relating.

    Attributes:
        prior: Pair similarity of the embedder, from its calibration.
        gallery: Faces of people to exclude.
        limits: Of hashes and embeddings, for duplicate candidates.
        confirm: Compares the pixels of candidates, given their face_ids; None accepts all candidates.
        device: Where faces are compared with centroids: "cpu", or a GPU.
    """

    prior: PairSimilarity = GENERIC
    gallery: Gallery | None = None
    limits: DuplicateLimits = field(default_factory=DuplicateLimits)
    confirm: Confirm | None = None
    device: str = "cpu"

    def inputs(self) -> dict[str, object]:
        """Return what the passes over a dataset depend on, besides the dataset."""
        values = {"prior": asdict(self.prior), "limits": asdict(self.limits), "device": self.device.partition(":")[0]}
        return values | {"pixels": self.confirm is not None}


@dataclass(frozen=True)
class RelateRequest:
    """A measured dataset to relate.

    Attributes:
        dataset: Its folder.
        exclude: Folders of photos, or curated datasets, of people to exclude.
        device: For the models that embed the photos of `exclude`, and for comparisons with centroids on a GPU.
        embedder_id: Embeddings to use; None for those of the embedder that the dataset was created with.
        settings: None for those of the dataset's embedder (`default_settings`), on `device`.
    """

    dataset: Path
    exclude: tuple[Path, ...] = ()
    device: str = "cpu"
    embedder_id: str | None = None
    settings: RelateSettings | None = None


def run(request: RelateRequest, listener: Listener = SILENT) -> Related:
    """Write `relations.parquet` of a dataset, one row group per bucket. Killed, it continues after its last whole pass.

    Raises DatasetError where measures or embeddings are missing or do not match, SourceError for a gallery of
    `exclude` without a face, PolicyError for a faulty overrides.csv, BusyError where another run uses the dataset.
    """
    dataset = Dataset.open(request.dataset)
    embedder_id = request.embedder_id or dataset.info.embedder_id
    settings = request.settings or replace(default_settings(dataset), device=request.device)
    if request.exclude:
        # Imported here because embedding the gallery's photos needs torch and the models.
        from curate.relate.gallery import read_galleries

        settings = replace(settings, gallery=read_galleries(request.exclude, dataset, request.device, listener))
    read = bucket_reader(dataset, embedder_id)
    with OutputLock(dataset.path):
        overrides = read_overrides(dataset.path / FILE_NAME)
        inputs = made_from(
            **measured_inputs(dataset, embedder_id),
            revision=str(REVISION),
            identities=overrides.identities_fingerprint(),
        )
        buckets = CorrectedBuckets(read, dataset.buckets, overrides)
        passes = Passes(dataset.path, inputs | settings.inputs())
        related = relate_collection(buckets.read, buckets.count, settings, listener, passes)

        def rows_of(bucket: int) -> pa.Table:
            return relation_rows(buckets.read(bucket), bucket, related, settings.gallery)

        rows = each_result(
            listener, "writing relations", dataset.buckets, lambda bucket: buckets.relations(bucket, rows_of)
        )
        write_table(dataset.path / RELATIONS, rows, arrow_schema("relations"), inputs)
        passes.remove()
    return related


def relate_collection(
    read: ReadBucket,
    buckets: int,
    settings: RelateSettings,
    listener: Listener = SILENT,
    passes: Passes | None = None,
) -> Related:
    """Relate the faces of buckets 0..buckets-1; writes nothing but `passes`, with which it continues."""
    passes = passes or Passes()
    similarity = estimate_similarity(*sample_faces(read, buckets), settings.prior)

    def compare(faces: list[BucketFaces]) -> list[OtherIdentities]:
        return _compare(read, faces, settings.device, listener)

    def refined() -> list[BucketFaces]:
        """Centroids without the wrong persons."""
        first = passes.result(
            "centroids",
            BucketFaces,
            lambda: map_buckets(
                listener, "identity centroids", buckets, lambda bucket: relate_bucket(read(bucket), similarity)
            ),
        )
        others = passes.result("nearest", OtherIdentities, lambda: compare(first))
        wrong = find_wrong_persons(first, others, similarity).wrong
        weights = [_centroid_weight(*pair) for pair in zip(first, wrong, strict=True)]
        return map_buckets(
            listener, "refined centroids", buckets, lambda bucket: refine(read(bucket), first[bucket], weights[bucket])
        )

    faces = passes.result("refined-centroids", BucketFaces, refined)
    others = passes.result("refined-nearest", OtherIdentities, lambda: compare(faces))
    noise = find_wrong_persons(faces, others, similarity)

    same = same_person(faces, similarity)
    alternatives = alternative_identities(faces, others, same)
    (duplicates,) = passes.result(
        "duplicates",
        DuplicateGroups,
        lambda: [find_duplicates(faces, read, settings.limits, settings.confirm, alternatives, listener)],
    )
    copies = order_copies(duplicates, RowReader(read, duplicates.start))
    return Related(
        faces=faces,
        others=others,
        wrong=[values.astype(np.float32) for values in noise.wrong],
        flipped=[values.astype(np.float32) for values in noise.flipped],
        similarity=similarity,
        share_flipped=noise.share_flipped,
        share_outliers=noise.share_outliers,
        same_person=same,
        duplicates=duplicates,
        copies=copies,
    )


def default_settings(dataset: Dataset) -> RelateSettings:
    """Return the settings for a dataset's embedder: its calibration, wide limits on hashes, and a check of the pixels.

    Two copies of a photo have a higher cosine than two photos of the person: at least a fifth of the way from the mean
    of the latter to 1, and usually two thirds.
    """
    prior = calibrated(dataset.info.models.embedder.name)
    rest = 1 - prior.same_mean
    limits = DuplicateLimits(
        photo_bits=8,
        face_bits=10,
        min_cosine=prior.same_mean + 0.2 * rest,
        crop_cosine=prior.same_mean + 0.65 * rest,
        small_cosine=prior.same_mean - prior.same_std,
        equal_cosine=prior.same_mean + 0.9 * rest,
    )
    return RelateSettings(prior=prior, limits=limits, confirm=PixelCheck(dataset))


def _compare(read: ReadBucket, faces: list[BucketFaces], device: str, listener: Listener) -> list[OtherIdentities]:
    """Compare every face with the centroids of all other identities, bucket by bucket."""
    comparison = _comparison(np.concatenate([part.centroids for part in faces]), device)
    offsets = identity_offsets(faces)

    def compare(bucket: int) -> OtherIdentities:
        part = faces[bucket]
        own = (part.identity + offsets[bucket])[part.has_face]
        return other_identities(read(bucket).vectors, own, comparison).scatter(part.has_face)

    return map_buckets(listener, "nearest identities", len(faces), compare)


def _comparison(centroids: Floats, device: str) -> Comparison:
    if device == "cpu":
        return Centroids(centroids)
    # Imported here because it needs torch.
    from curate.relate.device_centroids import DeviceCentroids

    return DeviceCentroids(centroids, device)


def _centroid_weight(faces: BucketFaces, wrong: npt.NDArray[np.float64]) -> Floats:
    """Weight of each face in the refined centroid: the probability that it is right, at most its neighbour count.

    Absence of evidence against a face is no reason to include it, so a face without neighbours has no weight.
    """
    right: Floats = (1 - wrong).astype(np.float32)
    return right * np.minimum(faces.neighbours, 1)
