"""Every command that writes, on inputs so small that a run takes about a second."""

import shutil
from pathlib import Path

from bench.writing.command import WritingCommand
from train.swap.results import JOURNAL
from train.swap.run_record import FILE


def clean(photos: Path, out: Path) -> list[object]:
    return ["clean", "folder", "--root", photos, "--out", out, "--models", "builtin", "--workers", 1, "--buckets", 3]


def _swap(inputs: Path, target: Path, out: Path) -> list[object]:
    checkpoint = max((inputs / "run/checkpoints").iterdir())
    source = min((inputs / "others").rglob("*.jpg"))
    return [
        "swap", "--checkpoint", checkpoint, "--source", source, "--target", target, "--out", out,
        "--models", "builtin", "--detection", "coarse", "--mark-id", "beef", "--workers", 1,
    ]  # fmt: skip


def _sort(inputs: Path, out: Path) -> list[object]:
    return ["sort", inputs / "a", "--by", "sharpness", "--out", out]


def _copy(inputs: Path, out: Path) -> None:
    shutil.copytree(inputs / "a", out)


def _measured(inputs: Path, out: Path) -> None:
    _copy(inputs, out)
    (out / "relations.parquet").unlink()


def _related(inputs: Path, out: Path) -> None:
    _copy(inputs, out)
    (out / "manifest.parquet").unlink()


def _decided(inputs: Path, out: Path) -> None:
    _copy(inputs, out)
    shutil.rmtree(out / "report")


DEMO_PERSON = "tina_fey"
"""Of the demonstration generator."""

# Ctrl-C completes a shorter video.
_SWAP_PROGRESS = (FILE, JOURNAL, "report.csv", "clip.until-")
COMMANDS = {
    command.name: command
    for command in (
        WritingCommand("clean", "curate", lambda i, o: clean(i / "few", o), reads="few"),
        WritingCommand("relate", "curate", lambda _, o: ["relate", o], _measured),
        WritingCommand("decide", "curate", lambda _, o: ["decide", o], _related),
        WritingCommand("report", "curate", lambda _, o: ["report", o], _decided),
        WritingCommand(
            "convert", "curate",
            lambda i, o: ["convert", "folder", "--root", i / "pngs", "--out", o, "--workers", 1],
            reads="pngs",
        ),
        WritingCommand("merge", "curate", lambda i, o: ["merge", i / "a", i / "b", "--out", o]),
        WritingCommand("export folder", "curate", lambda i, o: ["export", "folder", i / "a", "--masks", "--out", o]),
        WritingCommand("export hf", "curate", lambda i, o: ["export", "hf", i / "a", "--out", o]),
        WritingCommand("export webdataset", "curate", lambda i, o: ["export", "webdataset", i / "a", "--out", o]),
        WritingCommand("export list", "curate", lambda i, o: ["export", "list", i / "a", "--out", o / "kept.txt"]),
        WritingCommand("export fiftyone", "curate", lambda i, o: ["export", "fiftyone", i / "a", "--out", o]),
        WritingCommand(
            "fit", "simswap",
            lambda i, o: [
                "fit", "--data", i / "a", "--recipe", i / "recipe.toml", "--out", o, "--workers", 1, "--deterministic"
            ],
            progress=("log.jsonl", "events"),
        ),
        WritingCommand(
            "swap photo", "simswap",
            lambda i, o: _swap(i, min((i / "targets").iterdir()), o),
            progress=_SWAP_PROGRESS,
        ),
        WritingCommand(
            "swap folder", "simswap", lambda i, o: _swap(i, i / "targets", o), progress=_SWAP_PROGRESS, reads="targets"
        ),
        WritingCommand("swap video", "simswap", lambda i, o: _swap(i, i / "clip.mp4", o), progress=_SWAP_PROGRESS),
        WritingCommand(
            "evaluate", "curate",
            lambda i, o: [
                "evaluate", "folder", "--root", i / "few", "--out", o, "--models", "builtin", "--workers", 1,
                "--limit", 6, "--rates", "0.2", "--seeds", 1, "--faults", "duplicates",
            ],
            timed=("planted/measured",),  # times of modification
        ),
        WritingCommand(
            "judge", "simswap",
            lambda i, o: [
                "evaluate", "--checkpoint", max((i / "run/checkpoints").iterdir()), "--data", i / "all", "--out", o,
                "--pairs", 4, "--judge", "builtin",
            ],
        ),
        WritingCommand(
            "ablate", "simswap",
            lambda i, o: [
                "ablate", "--data", i / "all", "--out", o, "--recipes", i / "recipe.toml", "--images", 8, "--pairs", 4,
                "--held-out", 0.5, "--workers", 1, "--judge", "builtin",
            ],
            progress=("arms/recipe-seed0/log.jsonl", "arms/recipe-seed0/events"),
            timed=("timings.json", "results", "table.", "arms.parquet", "plot.svg"),
        ),
        WritingCommand(
            "segmenter", "segmenter",
            lambda i, o: [
                "--data", i / "labelled", "--out", o, "--images", 8, "--batch", 4, "--log-every", 4, "--test-every", 4,
                "--export", o / "segmenter.safetensors",
            ],
            progress=("log.jsonl",),
            replaced=("last.pt",),
        ),
        WritingCommand("verify", "simswap", lambda i, _: ["verify", i / "swapped"]),
        WritingCommand(
            "verify page", "simswap", lambda i, o: ["verify", i / "swapped", "--page", o / "marks.html"]
        ),
        WritingCommand(
            "plan", "curate",
            lambda i, o: ["plan", "folder", "--root", i / "few", "--out", o, "--models", "builtin", "--buckets", 3],
        ),
        WritingCommand("status", "curate", lambda _, o: ["status", o], _copy),
        WritingCommand(
            "measure part", "curate",
            lambda i, o: [
                "measure", "folder", "--root", i / "few", "--out", o, "--models", "builtin", "--workers", 1,
                "--buckets", 3, "--part", "0/2",
            ],
        ),
        WritingCommand("select", "curate", lambda _, o: ["select", o, "--per-person", 3], _copy),
        WritingCommand("diff", "curate", lambda _, o: ["diff", o, "--policy", "strict"], _copy),
        WritingCommand("card", "curate", lambda _, o: ["card", o], _copy),
        WritingCommand("sort sheet", "curate", lambda i, o: _sort(i, o / "sheet.jpg")),
        WritingCommand("sort page", "curate", lambda i, o: _sort(i, o / "page.html")),
        WritingCommand("sort links", "curate", lambda i, o: _sort(i, o / "links")),
        WritingCommand(
            "audit", "audit", lambda _, o: [o], _copy,
            replaced=("manifest.parquet", "overrides.csv", "review/"),
        ),
        WritingCommand(
            "review", "review", lambda _, o: [o], _copy,
            replaced=("manifest.parquet", "overrides.csv", "review/"),
        ),
        WritingCommand(
            "import", "simswap",
            lambda i, o: ["import", i / "published.pth", "--embedder", "builtin", "--out", o / "imported.safetensors"],
            once=4,
        ),
        WritingCommand(
            "export safetensors", "simswap",
            lambda i, o: [
                "export", "--checkpoint", max((i / "run/checkpoints").iterdir()), "--out", o / "packed.safetensors"
            ],
            once=4,
        ),
        WritingCommand(
            "demo", "simswap", lambda _, o: ["demo", "--out", o, "--people", DEMO_PERSON],
            progress=(f"swapped/{DEMO_PERSON}/{FILE}", f"swapped/{DEMO_PERSON}/{JOURNAL}",
                      f"swapped/{DEMO_PERSON}/report.csv"),
        ),
    )
}  # fmt: skip
