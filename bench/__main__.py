"""Run benchmarks and print the tables of bench/RESULTS.md with the date, the machine and the commands.

SWAPSET_DATA=DIR SWAPSET_CASES=DIR python -m bench   # all but those of BY_HAND
SWAPSET_DATA=DIR python -m bench curation            # selected ones
"""

import datetime
import os
import platform
import subprocess
import sys

BENCHMARKS = {
    "curation": ["bench.curation", "--photos", "300"],
    "host": ["bench.host"],
    "GPU paths, dry run": ["bench.gpu", "--device", "cpu", "--photos", "4", "--seconds", "0", "--side", "64"],
    "speed floors": ["bench.floors"],
    "startup": ["bench.startup"],
    "memory": ["bench.curation", "--memory", "1000", "10000"],
    "detection": ["bench.detection", "--photos", "600"],
    "embedders": ["bench.embedders", "--photos", "1500"],
    "segmenter": ["bench.segmenter", "--data", "$SWAPSET_DATA"],
    "segmenter speed": ["bench.segmenter", "--data", "$SWAPSET_DATA", "--speed"],
    "sharpness": ["bench.sharpness", "--photos", "200"],
    "damage": ["bench.damage", "--photos", "60", "--offset", "0.5"],
    "duplicates": ["bench.duplicates"],
    "copies": ["bench.copies"],
    "resolution": ["bench.resolution", "--photos", "44"],
    "relate": ["bench.relate"],
    "reading": ["bench.reading"],
    "convert": ["bench.convert"],
    "decide": ["bench.decide"],
    "training step": ["bench.training", "step"],
    "training loader": ["bench.training", "loader"],
    "training memory": ["bench.training", "memory"],
    "watermark": ["bench.watermark", "listed", "--photos", "300"],
    "watermark, small photos": ["bench.watermark", "listed", "--size", "224", "--photos", "100", "--compared"],
    "watermark, WAVES": ["bench.watermark", "waves", "--photos", "60", "--compared"],
    "watermark, W-Bench": ["bench.watermark", "w-bench", "--photos", "60", "--compared"],
    "watermark, VideoSeal": ["bench.watermark", "videoseal", "--photos", "60"],
    "watermark, pipelines": ["bench.watermark", "pipelines", "--photos", "60"],
    "watermark in clips": ["bench.watermark_clips", "--photos", "20"],
    "watermark, unmarked photos": ["bench.watermark", "unmarked"],
    "swap": ["bench.swap", "--photos", "24", "--frames", "32"],
    "smoothing": ["bench.smoothing"],
    "review page": ["bench.review"],
    "audit": ["bench.audit", "--audits", "1000"],
    "kills": ["bench.kills", "--kills", "12", "--seconds", "60"],
    "Ctrl-C at the start": ["bench.interrupts"],
    "kills of parts": ["bench.parts", "kills", "--kills", "24"],
    "kills of Ray workers": ["bench.parts", "ray", "--kills", "6"],
    "a photo added later": ["bench.parts", "added", "--photos", "20000"],
    "listing": ["bench.parts", "listing", "--files", "300000"],
    "damaged documents": ["bench.integrity", "documents"],
    "hostile files": ["bench.hostile"],
    "fuzzing": ["bench.fuzz", "--seconds", "120"],
    "field": ["bench.field"],
    "field, RecordIO pack": ["bench.field", "--pack", "1000"],
}

BY_HAND = {
    "bench.noise_marks": "needs a checkpoint of recipe diffusion and the dataset of its training",
    "bench.ablation": "trains for hours",
    "bench.blur_labels": "needs a measured dataset, and a person who labels it",
    "bench.checksums": "needs a decided dataset",
    "bench.fuzz_coverage": "needs atheris",
    "bench.general": "needs a checkpoint, a measured dataset and an independent embedder",
    "bench.identities": "needs measured datasets",
    "bench.pose": "needs mediapipe and measured datasets",
    "bench.quality": "needs measured datasets",
    "bench.report": "needs a decided dataset",
    "bench.selection": "needs measured datasets",
    "bench.selection_fit": "trains for hours, on a measured dataset",
}
"""Benchmarks that `python -m bench` does not run, and why."""


def main() -> None:
    selected = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in selected if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"unknown benchmark {unknown[0]!r}; choose from {', '.join(BENCHMARKS)}")
    print(f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}, {_processor()}")
    for name in selected:
        print(f"\n## {name}\n\n`python -m {' '.join(BENCHMARKS[name])}`\n", flush=True)
        subprocess.run([sys.executable, "-m", *map(os.path.expandvars, BENCHMARKS[name])], check=False)


def _processor() -> str:
    """Number and model of the processors, from /proc/cpuinfo."""
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


if __name__ == "__main__":
    main()
