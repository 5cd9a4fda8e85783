"""Damaged tables and documents of a dataset: what is named, what has no effect, and what would be silent.

    python -m bench.integrity tables DATASET [--trials 1000] [--seed 0]
    python -m bench.integrity documents [--trials 1000] [--seed 0]

Protocol. `tables`: of each table of a curated dataset (its largest shard), copies are damaged in turn in one of four
ways: a bit flipped, the file truncated, 1 to 4096 bytes zeroed, two blocks of 512 bytes exchanged; places are uniform.
A trial is *named* if reading the table, or, for the crops, reading every crop and label map by offset, ends in a
DatasetError; *no effect* if everything that is read equals the undamaged table; *silent* if something differs;
*traceback* for any other exception. Trials that did not change the file are drawn again.
`documents`: valid documents are changed in turn in one of six ways: a byte changed, the text truncated, a line
repeated or removed, and for JSON a value replaced by one of another type or range, a key removed or added. A trial is
*named* if the document is refused in one line by a SwapsetError, *accepted* if it is read, *traceback* otherwise.
Prints Markdown.
"""

import argparse
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from curate.audit.draw import Draw, Drawn
from curate.audit.judgements import Judgements
from curate.decide.footer import applied_policy, stored_findings
from curate.decide.policy import load_policy
from curate.decide.rules import Policy
from curate.export.request import ExportRecord
from curate.measure.sharpness import load_calibration
from curate.overrides import read_overrides
from curate.review.document import Edit
from curate.review.log import DecisionLog
from manifests.errors import DatasetError, OutputError, SwapsetError
from manifests.layout import (
    CHECKS,
    POLICY,
    ChoiceRecord,
    DatasetInfo,
    EmbedderRecord,
    ModelsRecord,
    SettingsRecord,
    SourceRecord,
    read_info,
)
from manifests.reader import Dataset
from manifests.records import read_record
from manifests.selection import read_selection
from manifests.table_file import TableFile
from train import checkpoint
from train.ablate.timing import Timing, TimingRecord
from train.config import Recipe, load_recipe
from train.journal import read_log
from train.run_folder import RecordedRun, recorded_run
from train.swap import run_record

TABLES = ("faces", "measures", "embeddings", "relations.parquet", "manifest.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tables", "documents"))
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("--trials", type=int, default=1000, help="of each table or document")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "tables":
            damage_tables(options.dataset, Path(folder), options.trials, options.seed)
        else:
            damage_documents(Path(folder), options.trials, options.seed)


def damage_tables(dataset: Path, folder: Path, trials: int, seed: int) -> None:
    """Print how many damaged copies of each table are named."""
    print("| table | bytes | trials | named | no effect | silent | traceback |\n|---|---:|---:|---:|---:|---:|---:|")
    copy = shutil.copytree(dataset, folder / "set")
    for name in TABLES:
        path = (
            copy / name
            if name.endswith(".parquet")
            else max((copy / name).rglob("*.parquet"), key=lambda file: file.stat().st_size)
        )
        read = _crops_reader(copy, path) if name == "faces" else _table_reader(path)
        original, expected = path.read_bytes(), read()
        draw, counts = random.Random(f"{seed} {name}"), Counter[str]()
        while counts.total() < trials:
            damaged = _damage(original, draw)
            if damaged != original:
                path.write_bytes(damaged)
                counts[_outcome(read, expected)] += 1
        path.write_bytes(original)
        cells = (counts[outcome] for outcome in ("named", "no effect", "silent", "traceback"))
        print(f"| {name} | {len(original):,} | {trials} | {' | '.join(map(str, cells))} |", flush=True)


def _table_reader(path: Path) -> Callable[[], pa.Table]:
    return lambda: TableFile(path).read()


def _crops_reader(root: Path, path: Path) -> Callable[[], list[bytes]]:
    """Read every crop and label map of a shard by offset, as training does."""
    rows = Dataset.open(root).manifest()
    rows = rows.filter(pa.compute.equal(rows["shard"], f"faces/{path.name}"))
    places = [
        [rows[f"{kind}_{value}"].to_pylist() for value in ("offset", "length", "crc")] for kind in ("crop", "mask")
    ]

    def read() -> list[bytes]:
        pixels = Dataset.open(root).pixels
        return [data for place in places for data in pixels.many(f"faces/{path.name}", *place)]

    return read


def _outcome(read: Callable[[], Any], expected: Any) -> str:
    try:
        return "no effect" if read() == expected else "silent"
    except DatasetError:
        return "named"
    except Exception as error:  # noqa: BLE001
        print(f"{type(error).__name__}: {error}")
        return "traceback"


def _damage(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    way = draw.randrange(4)
    if way == 0:
        return data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
    if way == 1:
        return data[:at]
    if way == 2:
        size = len(data[at : at + draw.randint(1, 4096)])
        return data[:at] + bytes(size) + data[at + size :]
    a, b = sorted(512 * block for block in draw.sample(range(len(data) // 512), 2))
    return data[:a] + data[b : b + 512] + data[a + 512 : b] + data[a : a + 512] + data[b + 512 :]


def damage_documents(folder: Path, trials: int, seed: int) -> None:
    """Print how many changed copies of each document are refused in one line."""
    print("| document | trials | named | accepted | traceback |\n|---|---:|---:|---:|---:|")
    for name, (text, read) in documents(folder).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        read(path)
        draw, counts = random.Random(f"{seed} {name}"), Counter[str]()
        for _ in range(trials):
            path.write_bytes(_changed(text, draw))
            try:
                read(path)
                counts["accepted"] += 1
            except SwapsetError as error:
                counts["named" if "\n" not in str(error) else "traceback"] += 1
            except Exception as error:  # noqa: BLE001
                print(f"{name}: {type(error).__name__}: {error}")
                counts["traceback"] += 1
        cells = (counts[outcome] for outcome in ("named", "accepted", "traceback"))
        print(f"| {name} | {trials} | {' | '.join(map(str, cells))} |", flush=True)


Reader = Callable[[Path], object]


def documents(folder: Path) -> dict[str, tuple[bytes, Reader]]:
    """Return valid documents of each kind, and what reads them: name -> (bytes, reader)."""
    info = DatasetInfo(
        SourceRecord("folder", "/photos", 100, ignored={"txt": 3}, identities="first"),
        SettingsRecord("simswap-224", 50_000_000, 3),
        ModelsRecord(EmbedderRecord("6f791e0c929275b4", "dlib-resnet"), "d" * 64, "s" * 64, ChoiceRecord("builtin")),
        3,
    )
    recipe = Recipe()
    facts = checkpoint.CheckpointFacts(recipe, "p" * 64, "6f791e0c929275b4", 128, images=96)
    swap = run_record.RecordedSwap("c", ("s",), None, None, None, "d", "face", "visible", "bottom", "0123abcd")
    log = [{"images": n, "images_per_second": 3.5, "memory_bytes": 0, "loss": 0.25} for n in (16, 32, 48)]
    finding = {"check": "splits", "observation": "3 of 4", "cause": "folders", "command": "curate clean"}
    timings = TimingRecord(["cpu", 128, ["{}"]], {"{}": Timing(3.0, 2.0)})
    state = {**facts.to_json(), "optimisers": {"g": [{"lr": 1e-3}]}, "loader": {"position": 3, "seed": 0}}
    return {
        "dataset.json": (_json(asdict(info)), lambda path: read_info(path.parent)),
        "calibration.json": (_json(asdict(load_calibration())), load_calibration),
        "policy.toml": (_toml(Policy()), load_policy),
        "recipe.toml": (_toml(recipe), load_recipe),
        "overrides.csv": (b'image_id,verdict,note\na/1.jpg,keep,\nb/2.jpg,drop,"a, b"\n', read_overrides),
        "run.json": (_json(asdict(recorded_run(facts))), _reader(RecordedRun)),
        "swap.json": (_json(asdict(swap)), lambda path: run_record.read(path.parent)),
        ".export.json": (_json(asdict(ExportRecord("hf", True, "m" * 64))), _reader(ExportRecord)),
        "log.jsonl": (b"".join(json.dumps(row).encode() + b"\n" for row in log), read_log),
        "selection.csv": (b"image_id,identity,rank\na/1.jpg,a,1\nb/2.jpg,b,1\n", read_selection),
        "selection.txt": (b"a/1.jpg\nb/2.jpg\n", read_selection),
        "timings.json": (_json(asdict(timings)), _reader(TimingRecord)),
        "reviewed/review/decisions.jsonl": (_decisions(folder / "decided"), _read_decisions),
        "audit.jsonl": (_judgements(folder / "judged.jsonl"), _read_judgements),
        "footer-policy.json": (_json(asdict(Policy())), lambda path: applied_policy({POLICY: _text(path)})),
        "footer-checks.json": (_json([finding]), lambda path: stored_findings({CHECKS: _text(path)})),
        "checkpoint.json": (_json(state), lambda path: _read_checkpoint(path, folder / "c.safetensors")),
    }


def _reader(record: type) -> Reader:
    return lambda path: read_record(path, record, OutputError, "remove it")


def _decisions(dataset: Path) -> bytes:
    """Write the log of a review: two decisions, one of them undone."""
    dataset.mkdir()
    log = DecisionLog(dataset)
    edits = [Edit(added=(f"{name}.jpg,drop,,,",)) for name in ("a/1", "b/2")]
    entries = [log.add("drop", edit, "tab", 1) for edit in edits]
    log.take_back(entries[1], log.document.inverse(edits[1]))
    log.close()
    return log.path.read_bytes()


def _read_decisions(path: Path) -> None:
    dataset = path.parent.parent
    (dataset / "overrides.csv").unlink(missing_ok=True)
    DecisionLog(dataset).close()


_DRAW = Draw(0, "b" * 16, (Drawn("a/1.jpg", "kept", 0), Drawn("b/2.jpg", "kept", 0)), {"kept": [2]})


def _judgements(path: Path) -> bytes:
    """Write the file of an audit: two judgements, one of them taken back."""
    judgements = Judgements(path, _DRAW)
    judgements.judge("first", 0, "right")
    judgements.judge("first", 1, "blurred")
    judgements.undo("first")
    judgements.close()
    return path.read_bytes()


def _read_judgements(path: Path) -> None:
    Judgements(path, _DRAW).close()


def _read_checkpoint(header: Path, path: Path) -> None:
    """Read a checkpoint whose header is the text of `header`, with a valid digest, as a crafted one has."""
    from safetensors.torch import save_file

    text, tensors = _text(header), {"g.w": torch.zeros(2)}
    metadata = {"format": checkpoint.FORMAT, "facts": text, "sha256": checkpoint._digest(tensors, text)}
    save_file(tensors, path, metadata)
    checkpoint.read(path)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"


def _toml(values: Policy | Recipe) -> bytes:
    return "".join(f"{key.name} = {key.value}\n" for key in values.describe()).encode()


_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1.5, -1e308, "", "text", "../../x", "\0", "\ud800", "\n", [], [1], {}, {"a": 1}, [[]],
)  # fmt: skip
_TEXTS = (b"NaN", b"1e999", b"-Infinity", b"9" * 5000, b"[" * 5000, b"\xff\xfe", b'"\\ud800"', b"1979-05-27", b'"""')


def _changed(text: bytes, draw: random.Random) -> bytes:
    way = draw.randrange(6)
    at = draw.randrange(len(text))
    if way == 0:
        return text[:at] + bytes([draw.randrange(256)]) + text[at + 1 :]
    if way == 1:
        return text[:at]
    lines = text.splitlines(keepends=True)
    line = draw.randrange(len(lines))
    if way == 2:
        return b"".join([*lines[:line], *lines[line : line + 1] * draw.choice((0, 2)), *lines[line + 1 :]])
    if way == 3:
        before, separator, _ = lines[line].rpartition(b"=" if b" = " in text else b":")
        value = b"".join((before, separator, draw.choice(_TEXTS), b"\n"))
        return b"".join([*lines[:line], value, *lines[line + 1 :]])
    try:
        values = json.loads(text)
    except ValueError:
        return text[:at] + draw.choice(_TEXTS) + text[at:]
    _change(values, draw, way == 4)
    return json.dumps(values, indent=2).encode()


def _change(values: Any, draw: random.Random, replace: bool) -> None:
    """Replace a value, or remove or add a key, somewhere in a JSON document."""
    parent = values
    keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
    while keys:
        key = draw.choice(keys)
        inner = parent[key]
        if not (isinstance(inner, (dict, list)) and inner and draw.random() < 0.7):
            break
        parent = inner
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
    if not replace and isinstance(parent, dict):
        if draw.random() < 0.5:
            del parent[key]
        else:
            parent[draw.choice(("new", "", "\0", "a" * 500))] = draw.choice(_VALUES)
    else:
        parent[key] = draw.choice(_VALUES)


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
