"""Runs every bench in turn and prints the tables of bench/RESULTS.md with the machine, the date and the commands.

SWAPSET_DATA=... python -m bench            # all
SWAPSET_DATA=... python -m bench curation   # some
"""

import datetime
import os
import platform
import subprocess
import sys

BENCHES = {
    "curation": ["bench.curation", "--photos", "300"],
    "memory": ["bench.curation", "--memory", "1000", "10000"],
    "detection": ["bench.detection", "--photos", "600"],
    "embedders": ["bench.embedders", "--photos", "1500"],
    "segmenter": ["bench.segmenter", "--data", "$SWAPSET_DATA"],
    "segmenter speed": ["bench.segmenter", "--data", "$SWAPSET_DATA", "--speed"],
    "sharpness": ["bench.sharpness", "--photos", "200"],
    "blur in soft collections": ["bench.sharpness", "--photos", "100", "--soft"],
    "duplicates": ["bench.duplicates"],
    "relate": ["bench.relate"],
    "reading": ["bench.reading"],
    "convert": ["bench.convert"],
    "decide": ["bench.decide"],
    "training step": ["bench.training", "step"],
    "training loader": ["bench.training", "loader"],
    "training memory": ["bench.training", "memory"],
    "watermark": ["bench.watermark", "--photos", "100"],
    "watermark in clips": ["bench.watermark", "--clips", "6"],
    "watermark, unmarked photos": ["bench.watermark", "--unmarked"],
    "swap": ["bench.swap", "--photos", "24", "--frames", "32"],
}


def main() -> None:
    chosen = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in chosen if name not in BENCHES]
    if unknown:
        sys.exit(f"no bench is called {unknown[0]}; there are {', '.join(BENCHES)}")
    print(f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}, {_processor()}")
    for name in chosen:
        print(f"\n## {name}\n\n`python -m {' '.join(BENCHES[name])}`\n", flush=True)
        subprocess.run([sys.executable, "-m", *map(os.path.expandvars, BENCHES[name])], check=False)


def _processor() -> str:
    """Name and number of the processors, as Linux tells."""
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


if __name__ == "__main__":
    main()
