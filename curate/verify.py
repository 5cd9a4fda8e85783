"""Read a whole dataset again and name what is damaged, missing or out of date, with the command that repairs it.

`VerifyRequest` -> `run` -> `Verified`. Only reads. Measuring, relating and deciding give the same bytes for the same
inputs, so that repairing a table leaves those made from it up to date.
"""

import hashlib
import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.compute as pc

from curate.counts import counted
from curate.errors import DecodeError
from curate.lineage import is_made_from, measured_inputs, require_current
from curate.listener import SILENT, Listener, progress
from curate.measure.settings import ALIGNED
from curate.overrides import FILE_NAME, read_overrides
from curate.sources import Entry, open_source
from manifests.errors import DamagedError, DatasetError, SwapsetError
from manifests.layout import MANIFEST, RELATIONS, bucket_of
from manifests.locations import as_path
from manifests.reader import Dataset
from manifests.table_file import TableFile

_THREADS = 4  # reading and hashing release the GIL
_BATCH = 256

Advance = Callable[[int], None]


@dataclass(frozen=True)
class VerifyRequest:
    """What to verify.

    Attributes:
        dataset: directory of a curated dataset; of a merged one, its parts are verified too.
        photos: also hash the photos of the source, and name those that have changed since they were measured.
    """

    dataset: Path
    photos: bool = False


@dataclass(frozen=True)
class Problem:
    """A file that is not as it was written. command: what repairs it; empty where a message names the next step."""

    path: Path
    description: str
    command: str = ""

    def line(self) -> str:
        """Describe the problem in one line."""
        return f"{self.path}: {self.description}"


@dataclass
class Verified:
    """What was compared, and the problems that were found."""

    files: int = 0
    bytes: int = 0
    images: int = 0
    photos: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def commands(self) -> list[str]:
        """The commands that repair the problems, in the order in which they are run."""
        return list(dict.fromkeys(problem.command for problem in self.problems if problem.command))

    def summary(self) -> str:
        """Describe in one line what was compared."""
        photos = f", {counted(self.photos, 'photo')}" if self.photos else ""
        return f"{self.files:,} tables of {self.bytes / 1e6:,.1f} MB, {self.images:,} crops and label maps{photos}"


def run(request: VerifyRequest, listener: Listener = SILENT) -> Verified:
    """Compare every byte of every table with its checksum, every crop and label map with the measures, and the lineage.

    Raises DatasetError where `dataset` is no dataset, SourceError where the photos are requested and are not there.
    """
    verified = Verified()
    datasets = list(_with_parts(Dataset.open(request.dataset)))
    tables = [path for dataset in datasets for path in _tables(dataset)]
    sizes = [path.stat().st_size for path in tables if path.is_file()]
    with progress(listener, "verifying", sum(sizes), "B") as advance:
        for dataset in datasets:
            _verify_tables(dataset, verified, advance)
    if request.photos:
        for dataset in datasets:
            _verify_photos(dataset, verified, listener)
    return verified


def measure_command(dataset: Dataset) -> str:
    """Return the command that measures the damaged shards of a dataset again, with the options that it records."""
    source, settings = dataset.info.source, dataset.info.settings
    words = ["curate", "measure", source.kind, "--root", source.root or ".", "--out", str(dataset.path), "--verify"]
    options = {
        "--identities": source.identities,
        "--limit": source.limit,
    }
    options["--template"] = ALIGNED if settings.aligned else settings.template
    options["--max-pixels"] = settings.max_pixels
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return shlex.join(words)


def _with_parts(dataset: Dataset) -> Iterator[Dataset]:
    """Yield the parts of a merged dataset before the dataset itself."""
    for part in dataset.parts.values():
        yield from _with_parts(Dataset.open(part))
    yield dataset


def _tables(dataset: Dataset) -> list[Path]:
    """List the tables that a dataset should have, and the embeddings of further embedders."""
    if dataset.parts:
        return [dataset.path / MANIFEST]
    embedders = sorted({*dataset.embedder_ids(), dataset.info.embedder_id})
    families = ("faces", "measures", *(f"embeddings/{embedder_id}" for embedder_id in embedders))
    shards = [dataset.shard_path(family, bucket) for bucket in range(dataset.buckets) for family in families]
    return [*shards, dataset.path / RELATIONS, dataset.path / MANIFEST]


def _verify_tables(dataset: Dataset, verified: Verified, advance: Advance) -> None:
    place = shlex.quote(str(dataset.path))
    datasets = shlex.join(map(str, dataset.parts.values()))
    join = " --join" if dataset.info.source.join_identities else ""
    commands = {
        RELATIONS: f"curate relate {place}",
        MANIFEST: f"curate merge {datasets} --out {place}{join}" if dataset.parts else f"curate decide {place}",
    }
    sound: set[Path] = set()
    for path in _tables(dataset):
        command = commands.get(path.name) or measure_command(dataset)
        try:
            table = TableFile(path)
            table.check()
            table.read([])
            sound.add(path)
        except DamagedError as error:
            verified.problems.append(Problem(path, f"damaged, {error.__cause__}", command))
        except DatasetError as error:
            missing = not path.exists()
            problem = Problem(path, "missing", command) if missing else Problem(path, str(error).partition(": ")[2])
            verified.problems.append(problem)
        if path.exists():
            verified.files += 1
            verified.bytes += path.stat().st_size
            advance(path.stat().st_size)
    for bucket in range(dataset.buckets):
        shards = [dataset.shard_path(family, bucket) for family in ("faces", "measures")]
        if sound.issuperset(shards):
            _verify_images(dataset, bucket, verified)
    if len(sound) == len(_tables(dataset)):
        _verify_lineage(dataset, verified, commands)


def _verify_images(dataset: Dataset, bucket: int, verified: Verified) -> None:
    """Compare the crops and label maps of a bucket with the checksums in its measures."""
    columns = [f"{kind}_{value}" for kind in ("crop", "mask") for value in ("offset", "length", "crc")]
    rows = dataset.measures(bucket, ["shard", *columns])
    rows = rows.filter(pc.is_valid(rows["shard"]))
    for start in range(0, rows.num_rows, _BATCH):
        batch = rows.slice(start, _BATCH)
        shard = batch["shard"][0].as_py()
        for kind in ("crop", "mask"):
            places = (batch[f"{kind}_{value}"].to_numpy() for value in ("offset", "length", "crc"))
            try:
                verified.images += len(dataset.pixels.many(shard, *places))
            except DatasetError:
                path = dataset.shard_path("faces", bucket)
                verified.problems.append(Problem(path, f"a {kind} differs from its checksum", measure_command(dataset)))
                return


def _verify_lineage(dataset: Dataset, verified: Verified, commands: dict[str, str]) -> None:
    """Name the tables that were made from others than those that are there."""
    try:
        if not dataset.parts:
            inputs = measured_inputs(dataset, dataset.info.embedder_id)
            relations = dataset.relations_file()
            if not is_made_from(relations.metadata, **inputs):
                verified.problems.append(Problem(relations.path, "out of date", commands[RELATIONS]))
                verified.problems.append(Problem(dataset.path / MANIFEST, "out of date", commands[MANIFEST]))
                return
            read_overrides(dataset.path / FILE_NAME)
        require_current(dataset)
    except SwapsetError as error:
        verified.problems.append(Problem(dataset.path, f"out of date, {error}"))


def _verify_photos(dataset: Dataset, verified: Verified, listener: Listener) -> None:
    """Hash the photos that a dataset has measured."""
    from curate.measure.shards import entries_of

    record = dataset.info.source
    if record.root is None:
        return
    source = open_source(record.kind, as_path(record.root), record.identities)
    members: list[list[str]] = [[] for _ in range(dataset.buckets)]
    for identity in source.identities():
        members[bucket_of(identity, dataset.buckets)].append(identity)

    def sha256_of(entry: Entry) -> str | None:
        try:
            return hashlib.sha256(source.read(entry)).hexdigest()
        except DecodeError:
            return None

    unreadable = {problem.path for problem in verified.problems}
    with progress(listener, "hashing", None) as advance, ThreadPoolExecutor(_THREADS) as pool:
        for bucket, identities in enumerate(members):
            if dataset.shard_path("measures", bucket) in unreadable:
                continue
            rows = dataset.measures(bucket, ["image_id", "sha256"])
            measured = dict(zip(*(column.to_pylist() for column in rows.columns), strict=True))
            entries = [entry for entry in entries_of(source, identities) if entry.image_id in measured]
            changes = dict.fromkeys(measured, "no longer in the source")
            for entry, sha256 in zip(entries, pool.map(sha256_of, entries), strict=True):
                verified.photos += 1
                advance(1)
                del changes[entry.image_id]
                if sha256 != measured[entry.image_id]:
                    changes[entry.image_id] = "changed since it was measured" if sha256 else "can no longer be read"
            for image_id, change in changes.items():
                verified.problems.append(Problem(Path(record.root, image_id), change, measure_command(dataset)))
