"""Where things lie in a dataset directory, and `dataset.json`, which says what was curated and how."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from manifests.errors import DatasetError
from manifests.output import atomic
from manifests.schema import SCHEMA_VERSION

INFO = "dataset.json"
MANIFEST = "manifest.parquet"
RELATIONS = "relations.parquet"

FINGERPRINT = "swapset.fingerprint"
"""Footer key: hash of everything a file was made from; equal means that it need not be made again."""
POLICY = "swapset.policy"
"""Footer key of the manifest: the policy, as text."""
POLICY_HASH = "swapset.policy_hash"
"""Footer key of the manifest: the policy's hash (with the calibration's, if any), which a training run records."""
SHARPNESS_LIMIT = "swapset.sharpness_limit"
"""Footer key of the manifest: the least sharpness that was kept, where the policy adapts it to the collection."""
CALIBRATION_HASH = "swapset.calibration_hash"
"""Footer key of the manifest: hash of the blur calibration given to `decide`; absent where it was decided by the
sharpness as measured."""


def bucket_of(identity: str, buckets: int) -> int:
    """Identity -> the bucket, 0 to buckets - 1, whose shards hold it; the same on every machine and in every run."""
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % buckets


def shard_name(bucket: int, buckets: int) -> str:
    """Bucket -> the stem of its files: 'b-000', wider only from 1001 buckets on."""
    return f"b-{bucket:0{max(3, len(str(buckets - 1)))}d}"


@dataclass(frozen=True)
class DatasetInfo:
    """What `dataset.json` records when a dataset is created; it does not change afterwards.

    source: `kind` and `root`, as given. settings: what a measurement depends on. models: role -> its name, hash and so
    on; the embedder's entry carries `embedder_id`. buckets: shards of each family. parts: only in a merged dataset,
    name -> directory of each part, relative to this one.
    """

    source: dict[str, Any]
    buckets: int
    settings: dict[str, Any] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def embedder_id(self) -> str | None:
        """Id of the embedder that the dataset was created with, if it says."""
        found = self.models.get("embedder", {}).get("embedder_id")
        return None if found is None else str(found)

    @property
    def template(self) -> str | None:
        """Name of the crops' template, if the settings say."""
        found = self.settings.get("template")
        return None if found is None else str(found)


def write_info(root: str | os.PathLike[str], info: DatasetInfo) -> None:
    """Write `root/dataset.json`, whole or not at all; equal values give equal bytes."""
    text = json.dumps(asdict(info), indent=2, sort_keys=True, allow_nan=False)
    with atomic(Path(root) / INFO) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def read_info(root: str | os.PathLike[str]) -> DatasetInfo:
    """Read `root/dataset.json`. Raises DatasetError: none there, not readable, or of an unknown schema version."""
    path = Path(root) / INFO
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(
            f"{root} is not a curated dataset (no {INFO}): give the --out of a `curate clean` run"
        ) from error
    except ValueError as error:
        raise DatasetError(f"{path} is damaged ({error}): restore it, or measure again into another --out") from error
    if not isinstance(found, dict):
        raise DatasetError(f"{path} is damaged (not a JSON object): restore it, or measure again into another --out")
    check_version(found.get("schema_version"), path)
    known = {entry.name for entry in fields(DatasetInfo)}
    missing = sorted({"source", "buckets"} - found.keys())
    if missing or not found.keys() <= known:
        odd = ", ".join(missing or sorted(found.keys() - known))
        raise DatasetError(f"{path}: missing or unknown key: {odd}; restore it, or measure again into another --out")
    return DatasetInfo(**found)


def check_version(found: object, path: Path) -> None:
    """Raise DatasetError unless `found`, from `path`, is the schema version that this program reads."""
    if str(found) != str(SCHEMA_VERSION):
        raise DatasetError(
            f"{path} has schema version {found}, this swapset reads version {SCHEMA_VERSION}: "
            "use the swapset that wrote it, or measure again into another --out"
        )
