"""The kept photos as a text file: one image_id a line, in the order of the manifest."""

from pathlib import Path

from curate.lineage import require_current
from manifests.errors import DatasetError
from manifests.output import atomic
from manifests.partials import remove_partials_of
from manifests.reader import Dataset
from manifests.selection import read_selection


def require_list_name(out: Path) -> None:
    """Raise ValueError where a list has another suffix than .txt."""
    if out.suffix != ".txt":
        raise ValueError(f"{out}: give the list the suffix .txt, which `--selection` reads as one image_id a line")


def write_list(dataset_dir: Path, out: Path, selection: Path | None = None, *, with_face: bool = False) -> int:
    """Write the list `out` (.txt) of the kept photos, or of the selected ones; return their number.

    Every image_id is a path inside the source, as `rsync --files-from` and `tar --files-from` take them, and the file
    is a selection (`manifests.selection`) itself.

    Args:
        dataset_dir: a curated dataset, merged or not.
        out: file to write; one of an earlier run is replaced.
        selection: list of photos; None for all kept ones.
        with_face: leave out kept photos without a face, which an override keeps.

    Raises ValueError as `require_list_name`, DatasetError without a manifest, where it is out of date, where a selected
    photo is not kept, or where a name contains a line break; OutputError where the file cannot be written.
    """
    require_list_name(out)
    dataset = Dataset.open(dataset_dir)
    require_current(dataset)
    kept = dataset.manifest(["image_id", "shard"], keep=True)
    if with_face or selection:
        kept = kept.filter(kept["shard"].is_valid())
    if selection:
        kept = read_selection(selection).rows_of(kept)
    image_ids = kept["image_id"].to_pylist()
    for image_id in image_ids:
        if "\n" in image_id or "\r" in image_id:
            raise DatasetError(
                f"{dataset.path}: the name {image_id!r} contains a line break, which a text file cannot list: use "
                "the column image_id of manifest.parquet"
            )
    remove_partials_of(out)
    with atomic(out) as partial:
        partial.write_text("".join(f"{image_id}\n" for image_id in image_ids), "utf-8", "surrogateescape", "\n")
    return len(image_ids)
