"""Paths inside a dataset directory, and `dataset.json`: the source, settings and models of a dataset."""

import hashlib
import json
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from manifests.errors import DatasetError
from manifests.input import readable
from manifests.landmarks import TEMPLATES
from manifests.locations import as_path
from manifests.output import atomic
from manifests.records import InvalidRecordError, Limits, from_json, parse_json
from manifests.schema import SCHEMA_VERSION

INFO = "dataset.json"
_MAX_BUCKETS = 1_000_000
MANIFEST = "manifest.parquet"
RELATIONS = "relations.parquet"

FINGERPRINT = "swapset.fingerprint"
"""Footer key: hash of all inputs of a file; a file whose fingerprint is current is not computed again."""
POLICY = "swapset.policy"
"""Footer key of the manifest: the policy, as text."""
POLICY_HASH = "swapset.policy_hash"
"""Footer key of the manifest: hash of the policy and of the blur calibration, if any. A training run records it."""
SHARPNESS_LIMIT = "swapset.sharpness_limit"
SHARPNESS_LIMIT_GROUPS = "swapset.sharpness_limit_groups"
"""Footer key of the manifest: the lowest sharpness that was kept, where the policy adapts it to the collection."""
CALIBRATION_HASH = "swapset.calibration_hash"
"""Footer key of the manifest: hash of the blur calibration given to `decide`; absent without one."""
AUDIT = "swapset.audit"
"""Footer key of the manifest: shares of faulty photos that a person found in a random sample (`curate audit`)."""
CHECKS = "swapset.checks"
"""Footer key of the manifest: what the checks of `decide` found, a JSON list of objects with the keys check,
observation, cause and command. In a command, OUT, ROOT and LAYOUT stand for the dataset's folder, its source and the
source's layout."""


def bucket_of(identity: str, buckets: int) -> int:
    """Return the bucket (0 to `buckets` - 1) whose shards hold `identity`; the same on every machine."""
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % buckets


def shard_name(bucket: int, buckets: int) -> str:
    """Return the stem of a bucket's files: 'b-000', wider only from 1001 buckets on."""
    return f"b-{bucket:0{max(3, len(str(buckets - 1)))}d}"


@dataclass(frozen=True)
class SourceRecord:
    """The photos of a dataset.

    Attributes:
        kind: a source layout such as 'folder' or 'vggface2', or 'merge' for a merged dataset.
        root: absolute path of the source; None for a merged dataset.
        limit: `--limit` of the run that created the dataset.
        join_identities: only in a merged dataset, whether equal identity names of two parts are the same person.
        ignored: extension, or kind of system file -> number of files of the source that are left out, in the last run
            of `measure`.
        identities: `--identities` of the run that created the dataset, a file by its absolute path; None where it was
            not given.
    """

    kind: Annotated[str, Limits(pattern="[a-z0-9_-]{1,40}")]
    root: str | None = None
    limit: Annotated[int, Limits(low=1)] | None = None
    join_identities: bool = False
    ignored: dict[str, int] = field(default_factory=dict)
    identities: str | None = None


@dataclass(frozen=True)
class SettingsRecord:
    """Settings of the measurement. A merged dataset records the template only.

    Attributes:
        template: name of the crops' template, a key of `landmarks.TEMPLATES`.
        max_pixels: pixel limit of a photo.
        revision: of the measuring code.
        aligned: whether the photos were crops of the template already, and are stored without resampling.
    """

    template: Annotated[str, Limits(choices=tuple(TEMPLATES))]
    max_pixels: Annotated[int, Limits(low=1)] | None = None
    revision: int | None = None
    aligned: bool = False


@dataclass(frozen=True)
class EmbedderRecord:
    """The embedder that `relate` compares faces by.

    Attributes:
        embedder_id: hash of weights and preprocessing, 16 hex digits.
        name: of its weights.
    """

    embedder_id: Annotated[str, Limits(pattern="[A-Za-z0-9_-]{1,64}")]  # the name of a folder
    name: str


@dataclass(frozen=True)
class ChoiceRecord:
    """The model options of the run that created the dataset, resolved.

    Attributes:
        pack: `--models`, "auto" resolved: "builtin" or an insightface pack.
        embedder: `--embedder`, absolute path of a checkpoint file.
        detection: `--detection`, "coarse" or "full".
    """

    pack: str
    embedder: str | None = None
    detection: Annotated[str, Limits(choices=("coarse", "full"))] = "coarse"


@dataclass(frozen=True)
class ModelsRecord:
    """The networks of a dataset.

    A merged dataset records the embedder only; its parts record their own models.

    Attributes:
        embedder: the embedder.
        detector, segmenter: fingerprints of weights and settings.
        choice: the options that selected the networks.
    """

    embedder: EmbedderRecord
    detector: str | None = None
    segmenter: str | None = None
    choice: ChoiceRecord | None = None


@dataclass(frozen=True)
class DatasetInfo:
    """The contents of `dataset.json`: written when a dataset is created, and unchanged while its source is unchanged.

    Attributes:
        source: the photos.
        settings: of the measurement.
        models: the networks.
        buckets: number of shards of each family; 0 for a merged dataset.
        parts: only in a merged dataset, name -> directory of each part, relative to this one, in the order of merging.
        schema_version: of the tables.
    """

    source: SourceRecord
    settings: SettingsRecord
    models: ModelsRecord
    buckets: Annotated[int, Limits(low=0, high=_MAX_BUCKETS)]
    parts: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def embedder_id(self) -> str:
        """Id of the embedder that the dataset was created with."""
        return self.models.embedder.embedder_id

    @property
    def template(self) -> str:
        """Name of the crops' template."""
        return self.settings.template


def write_info(root: str | os.PathLike[str], info: DatasetInfo) -> None:
    """Write `root/dataset.json` atomically; equal values give equal bytes."""
    text = json.dumps(asdict(info), indent=2, allow_nan=False)
    with atomic(as_path(root) / INFO) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def read_info(root: str | os.PathLike[str]) -> DatasetInfo:
    """Read `root/dataset.json`.

    Raises DatasetError: the file is missing or not readable, has an unknown schema version, a missing or unknown key,
    or a value of the wrong type.
    """
    path = as_path(root) / INFO
    with readable(path):
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DatasetError(
                f"{root} is not a curated dataset (no {INFO}): give the --out of a `curate clean` run"
            ) from error
    try:
        values = parse_json(data)
        if isinstance(values, dict):
            check_version(values.get("schema_version"), path)
        info = from_json(DatasetInfo, values)
        if bool(info.parts) is bool(info.buckets):
            raise InvalidRecordError("a dataset has either buckets or parts")
    except InvalidRecordError as error:
        raise DatasetError(f"{path} is damaged ({error}): restore it, or measure again into another --out") from error
    return info


def part_paths(root: str | os.PathLike[str], info: DatasetInfo) -> dict[str, Path]:
    """Return the directories of a merged dataset's parts, by name; empty for any other dataset."""
    base = as_path(root).resolve()  # because ".." means another directory behind a symbolic link
    return {name: as_path(os.path.normpath(base / where)) for name, where in info.parts.items()}


def shard_roots(root: str | os.PathLike[str]) -> dict[Path, str]:
    """Return every directory that holds shards of the dataset in `root`: its own, and those of the parts of a merge.

    Returns:
        Absolute directory -> prefix of its face_ids in the dataset's manifest.

    Raises DatasetError where a part is no dataset.
    """
    roots: dict[Path, str] = {}
    pending = [(as_path(root).resolve(), "")]
    while pending:
        path, prefix = pending.pop()
        if path not in roots:
            roots[path] = prefix
            parts = part_paths(path, read_info(path))
            pending += [(part.resolve(), f"{prefix}{name}/") for name, part in parts.items()]
    return roots


def shard_file(root: str | os.PathLike[str], shard: str, roots: Collection[Path]) -> Path:
    """Return the absolute path of a shard that a row of the manifest of the dataset in `root` names.

    A manifest may be of unknown origin, so a path outside `faces/` of one of `roots` (see `shard_roots`) is refused
    with a DatasetError: nothing there is opened.
    """
    path = as_path(os.path.normpath(as_path(root).resolve() / shard)) if "\0" not in shard else None
    if path is None or path.suffix != ".parquet" or path.parent.name != "faces" or path.parent.parent not in roots:
        raise DatasetError(
            f"{root}: its manifest names the shard {shard!r}, which is not in faces/ of this dataset or of one of its "
            f"parts, and is not opened: run `curate decide {root}` again, or `curate merge` for a merged dataset"
        )
    return path


def check_version(version: object, path: Path) -> None:
    """Raise DatasetError unless `version`, read from `path`, is the schema version that this program reads."""
    if str(version) != str(SCHEMA_VERSION):
        raise DatasetError(
            f"{path} has schema version {repr(str(version))[1:-1][:40]}, this swapset reads version {SCHEMA_VERSION}: "
            "use the swapset that wrote it, or measure again into another --out"
        )
