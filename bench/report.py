"""Time, memory and size of the report, the data card and a comparison for a collection of a million photos.

    python -m bench.report DATASET --photos 1000000 [--out FOLDER]

Protocol: the manifest of a decided dataset is repeated under other names, with the crops of the dataset, until it has
so many photos. Each command then runs in a process of its own; imports count. The comparison is with the same manifest
whose verdicts of every tenth photo are turned to drop.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.process import peak_memory, run_child
from manifests.layout import INFO, MANIFEST, POLICY, POLICY_HASH
from manifests.reader import Dataset
from manifests.schema import VERDICTS, arrow_schema
from manifests.table_file import footer
from manifests.writer import write_table

RENAMED = (
    "image_id", "identity", "source_identity", "face_id", "duplicate_of", "nearest_identity", "suggested_identity",
    "same_person_as",
)  # fmt: skip
"""Columns that name photos or identities."""


def repeat(dataset: Path, photos: int, out: Path, dropped_every: int = 0) -> None:
    """Write a dataset of `photos` photos: the manifest of `dataset` again and again, its crops by reference.

    dropped_every: turns the verdict of every so many photos to drop; 0 leaves all.
    """
    opened = Dataset.open(dataset)
    manifest = opened.manifest().combine_chunks()
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(dataset / INFO, out / INFO)
    if not (out / "faces").exists():
        (out / "faces").symlink_to((dataset / "faces").resolve())
    if dropped_every:
        flipped = pa.array(np.arange(manifest.num_rows) % dropped_every == 0)
        codes = pc.if_else(
            flipped, VERDICTS.index("drop"), pc.index_in(manifest["verdict"].cast(pa.string()), pa.array(VERDICTS))
        )
        verdict = pa.DictionaryArray.from_arrays(codes.combine_chunks().cast(pa.int8()), pa.array(VERDICTS))
        manifest = manifest.set_column(manifest.schema.get_field_index("verdict"), "verdict", verdict)
    recorded = footer(dataset / MANIFEST) or {}
    metadata = {name: recorded[name] for name in (POLICY, POLICY_HASH)}
    write_table(out / MANIFEST, _copies(manifest, -(-photos // manifest.num_rows)), arrow_schema("manifest"), metadata)


def _copies(manifest: pa.Table, count: int) -> Iterator[pa.Table]:
    for number in range(count):
        columns = [
            pc.binary_join_element_wise(f"{number:04d}-", manifest[name], "") if name in RENAMED else manifest[name]
            for name in manifest.schema.names
        ]
        yield pa.table(columns, schema=manifest.schema)


def _run(command: str, folder: Path) -> None:
    """Run one command on the datasets in `folder`."""
    if command == "report":
        from curate.report import run

        run(folder / "a")
    elif command == "card":
        from curate.card import write_card

        write_card(folder / "a", folder / "card.md")
    else:
        from curate.diff import DiffRequest, plan
        from curate.diff import run as compare

        compare(plan(DiffRequest(folder / "a", folder / "b", out=folder / "diff")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, help="keep the datasets in this folder, or use those in it")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        wall, cpu = time.perf_counter(), time.process_time()
        _run(options.child, options.out)
        seconds = (time.perf_counter() - wall, time.process_time() - cpu)
        print(json.dumps({"wall": seconds[0], "cpu": seconds[1], "peak_memory": peak_memory()}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        for name, dropped_every in (("a", 0), ("b", 10)):
            if not (out / name / MANIFEST).exists():
                repeat(options.dataset, options.photos, out / name, dropped_every)
        results = {"report": out / "a/report", "card": out / "card.md", "diff": out / "diff"}
        print(
            "| command | photos | wall clock, s | CPU, s | peak memory, GB | written, MB |\n|---|---|---|---|---|---|"
        )
        for command, path in results.items():
            child = run_child("bench.report", options.dataset, "--out", out, "--child", command)
            files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
            size = sum(file.stat().st_size for file in files) / 1e6
            print(
                f"| {command} | {options.photos:,} | {child['wall']:.1f} | {child['cpu']:.1f} "
                f"| {child['peak_memory'] / 1e9:.2f} | {size:.1f} |"
            )


if __name__ == "__main__":
    main()
