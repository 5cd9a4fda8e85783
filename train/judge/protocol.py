"""Protocol files: a list of swaps and the gallery of their retrieval, tied to the bytes of the photos by a hash.

`simswap pairs` writes one, `simswap evaluate --protocol` judges generators on it. A number that is published with its
file can be taken again by anyone who has the photos; a table without its pairs, probes and gallery cannot.
"""

import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import DatasetError, OutputError
from manifests.input import readable
from manifests.output import atomic, require_absent
from manifests.reader import Dataset
from manifests.records import Limits, parse_record
from train.data.faces import Indices, TrainingFaces, read_training_faces
from train.data.pairs import Kind
from train.errors import ProtocolError
from train.judge.pairs import JudgedFaces, JudgedPairs, PairSet, select_people, select_photos

FORMAT = "swapset-protocol-1"

_COMMENT = """\
# Swaps on which generators are judged: simswap evaluate --protocol THIS_FILE --data DATASET --checkpoint ...
# A swap is a list of photos: the target, then one or more photos of the person to swap to. Gallery: photos among which
# the one nearest to a swap is searched. content_hash: over path, identity and SHA-256 of every photo named here.
"""


@dataclass(frozen=True)
class ProtocolRequest:
    """The options of `simswap pairs`.

    Attributes:
        data: A curated dataset.
        out: The file to write.
        pairs: Maximum number of swaps of each kind.
        held_out: Share of the people, by the hash of their names, who are swapped; no effect with `people`.
        people: In place of `held_out`: names of the people who are swapped, of whom only held-out photos are taken.
        held_out_photos: Share of the photos of `people`, by the hash of their names.
        gallery_people: People of the gallery in all, if more than are held out.
        sources: Photos of the source person in each swap.
        seed: Seed of the pairs.
        size: Side of the crops on which swaps are measured, px; None takes that of the dataset's crops.
    """

    data: Path
    out: Path
    pairs: int = 500
    held_out: float = 0.05
    people: Sequence[str] = ()
    held_out_photos: float = 0.1
    gallery_people: int = 0
    sources: int = 1
    seed: int = 0
    size: int | None = None


@dataclass(frozen=True)
class ProtocolFile:
    """The contents of a protocol file. gallery, cross, same: paths of photos (`image_id`)."""

    format: Annotated[str, Limits(choices=(FORMAT,))]
    dataset: str
    template: str
    size: Annotated[int, Limits(low=32, high=1024)]
    content_hash: Annotated[str, Limits(pattern="[0-9a-f]{64}")]
    seed: Annotated[int, Limits(low=0)]
    held_out: Annotated[float, Limits(low=0, high=1)]
    held_out_photos: Annotated[float, Limits(low=0, high=1)]
    people: list[str]
    gallery: list[str]
    cross: list[list[str]]
    same: list[list[str]]


def make_protocol(request: ProtocolRequest) -> PairSet:
    """Sample pairs of held-out people, or of held-out photos, of a dataset and write them to `out`.

    Raises:
        DatasetError: not a curated dataset, or fewer than two people are held out.
        OutputError: `out` exists, or cannot be written.
    """
    require_absent(request.out)
    dataset = Dataset.open(request.data)
    faces = read_training_faces(dataset, dataset.info.template)
    judged = _select(request, faces)
    size = request.size or faces.side
    pairs = PairSet.sample(
        judged, dataset.info.template, size, request.pairs, seed=request.seed, sources=request.sources
    )
    photo = image_ids(pairs.faces)
    file = ProtocolFile(
        format=FORMAT,
        dataset=request.data.resolve().name,
        template=pairs.template,
        size=size,
        content_hash=content_hash(dataset, pairs.faces, np.arange(len(pairs.faces))),
        seed=request.seed,
        held_out=0.0 if request.people else request.held_out,
        held_out_photos=request.held_out_photos if request.people else 0.0,
        people=list(request.people),
        gallery=photo[pairs.gallery].tolist(),
        cross=_as_lists(pairs.cross, photo),
        same=_as_lists(pairs.same, photo) if pairs.same is not None else [],
    )
    text = _COMMENT + "\n".join(f"{name} = {_toml(value)}" for name, value in vars(file).items()) + "\n"
    if tomllib.loads(text) != vars(file):
        raise OutputError(
            f"{request.out}: the name of a photo cannot be written as TOML: rename files that are not UTF-8"
        )
    with atomic(request.out) as partial:
        partial.write_text(text, encoding="utf-8")
    return pairs


def read_protocol(path: Path, dataset: Dataset) -> tuple[ProtocolFile, PairSet]:
    """Read a protocol file, and find its photos in a dataset.

    Raises:
        DatasetError: the dataset does not keep all photos of the file, or some have other bytes or identities.
        ProtocolError: the file cannot be read, or is not a protocol file.
    """
    file = _read_file(path)
    for swap in (*file.cross, *file.same):
        if len(swap) < 2:
            raise ProtocolError(f"{path}: {swap} names no source: a swap is [target, source, ...]")
    if not file.cross:
        raise ProtocolError(f"{path} has no swap of two people (cross): write another with `simswap pairs`")
    faces = read_training_faces(dataset, file.template)
    named = {name for swap in (*file.cross, *file.same) for name in swap} | set(file.gallery)
    is_named = np.isin(image_ids(faces).astype(str), np.array(sorted(named)))
    if missing := sorted(named - set(image_ids(faces)[is_named])):
        raise DatasetError(
            f"{path}: {dataset.path} does not keep {len(missing):,} of its {len(named):,} photos, as {missing[0]}: "
            "judge on the dataset that the file was made from, decided by the same policy"
        )
    faces = faces.take(np.flatnonzero(is_named))
    if content_hash(dataset, faces, np.arange(len(faces))) != file.content_hash:
        raise DatasetError(
            f"{path}: {dataset.path} has the photos of this file with other bytes or identities (content_hash): "
            "judge on the dataset that it was made from, or write another file with `simswap pairs`"
        )
    row = {name: index for index, name in enumerate(image_ids(faces).tolist())}
    cross, same = _as_pairs("cross", file.cross, row), _as_pairs("same", file.same, row)
    gallery = np.array(sorted({row[name] for name in file.gallery}), np.int64)
    for pairs in (cross, same):
        _check_pairs(path, pairs, faces.person)
        if (absent := np.setdiff1d(faces.person[pairs.first_sources], faces.person[gallery])).size:
            raise ProtocolError(
                f"{path}: the gallery has no photo of {faces.people[absent[0]]}, the source of a swap, who could "
                "not be retrieved: add one, or write another file with `simswap pairs`"
            )
    return file, PairSet(faces, file.template, file.size, gallery, cross, same if len(same) else None)


def image_ids(faces: TrainingFaces) -> Any:
    """Path of each face's photo in the source, object (N,)."""
    return np.array([face_id.rpartition("#")[0] for face_id in faces.face_id], object)


def content_hash(dataset: Dataset, faces: TrainingFaces, rows: Indices) -> str:
    """SHA-256 over path, identity and SHA-256 of the bytes of the photos of these faces, 64 hex digits.

    Independent of alignment, measurements and verdicts, and of the order of the rows.
    """
    photos = pa.array(image_ids(faces)[rows].tolist(), pa.string())
    table = dataset.manifest(["image_id", "identity", "sha256"])
    table = table.filter(pc.is_in(table["image_id"], photos)).sort_by("image_id")
    digest = hashlib.sha256()
    for line in zip(*(table[name].to_pylist() for name in ("image_id", "identity", "sha256")), strict=True):
        digest.update(("\t".join(map(str, line)) + "\n").encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _select(request: ProtocolRequest, faces: TrainingFaces) -> JudgedFaces:
    if request.people:
        judged = select_photos(faces, set(request.people), request.held_out_photos)
        if not judged.held_out:
            raise DatasetError(
                f"{request.data}: of at least one of the named people no photo is held out by a share of "
                f"{request.held_out_photos:g}: raise --held-out-photos"
            )
        return judged
    judged = select_people(faces, request.held_out, request.gallery_people)
    if not judged.held_out:
        raise DatasetError(
            f"{request.data}: fewer than two of its {len(faces.people):,} people are held out by a share of "
            f"{request.held_out:g}: raise --held-out, with the same share in the recipe of the training"
        )
    return judged


def _read_file(path: Path) -> ProtocolFile:
    advice = "write one with `simswap pairs`"
    if not path.is_file():
        raise ProtocolError(f"{path}: no such protocol file: {advice}")
    try:
        with readable(path, ProtocolError):
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        return parse_record(json.dumps(values), ProtocolFile)
    except (ValueError, RecursionError) as error:  # also errors of UTF-8, TOML and `parse_record`
        raise ProtocolError(f"{path} is not a protocol file ({error}): {advice}") from error


def _check_pairs(path: Path, pairs: JudgedPairs, person: Indices) -> None:
    """Raise ProtocolError where a swap does not fit its kind. person: of each face."""
    target, source = person[pairs.targets], person[pairs.first_sources]
    sources = np.where(pairs.sources < 0, pairs.first_sources[:, None], pairs.sources)
    faults = (
        ((target == source) != (pairs.kind == "same"), "one person" if pairs.kind == "cross" else "two people"),
        ((person[sources] != source[:, None]).any(1), "photos of several people as its source"),
        ((sources == pairs.targets[:, None]).any(1), "its target as its source, too"),
    )
    for is_wrong, contents in faults:
        if is_wrong.any():
            number = int(is_wrong.argmax()) + 1
            raise ProtocolError(f"{path}: swap {number} of {pairs.kind} is of {contents}: correct or remove it")


def _as_lists(pairs: JudgedPairs, photo: Any) -> list[list[str]]:
    """[target, source, ...] of each pair, as paths."""
    return [
        [photo[target], *photo[sources[sources >= 0]].tolist()]
        for target, sources in zip(pairs.targets, pairs.sources, strict=True)
    ]


def _as_pairs(kind: Kind, swaps: list[list[str]], row: dict[str, int]) -> JudgedPairs:
    """The inverse of `_as_lists`. row: path -> row of the face."""
    sources = np.full((len(swaps), max([1, *(len(swap) - 1 for swap in swaps)])), -1, np.int64)
    for index, (_, *photos) in enumerate(swaps):
        sources[index, : len(photos)] = [row[photo] for photo in photos]
    return JudgedPairs(kind, np.array([row[swap[0]] for swap in swaps], np.int64), sources)


def _toml(value: object) -> str:
    """A value as TOML; lists have one entry a line."""
    if isinstance(value, list):
        return "[\n" + "".join(f"  {json.dumps(entry, ensure_ascii=False)},\n" for entry in value) + "]"
    return json.dumps(value, ensure_ascii=False)
