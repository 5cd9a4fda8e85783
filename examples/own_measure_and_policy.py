"""Decide a cleaned dataset by your own policy and your own measure; nothing is measured again.

    python examples/own_measure_and_policy.py curated/vggface2

The measure is the mean colour saturation of the stored crops: black-and-white photos get the verdict "drop" in
overrides.csv, which takes precedence over every policy. (A measure that is part of every dataset is an entry of
`curate.measure.table.MEASURES` and a rule of `curate.decide.RULES`: see CONTRIBUTING.md.)
"""

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from curate import decide, report
from curate.overrides import FILE_NAME, read_overrides
from manifests.reader import Dataset, decode_crop

MIN_SATURATION = 8.0  # of 255


def saturation(crop: np.ndarray) -> float:
    """Mean saturation of an RGB crop, uint8 (H, W, 3): 0 for a grey one."""
    return float(cv2.cvtColor(crop, cv2.COLOR_RGB2HSV)[..., 1].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    options = parser.parse_args()

    # Your own policy: a preset with other thresholds. As a file: extends = "strict" and min_eye_distance = 30.
    policy = replace(decide.load_policy("strict"), min_eye_distance=30.0, max_upscale=4.0)
    decided = decide.run(decide.DecideRequest(options.dataset, policy))
    print(f"by the policy: keep {decided.kept:,} of {decided.photos:,}")

    # Your own measure, of the photos that are kept so far. Verdicts that are in the file already stay as they are.
    dataset = Dataset.open(options.dataset)
    reviewed = read_overrides(options.dataset / FILE_NAME).verdicts
    with (options.dataset / FILE_NAME).open("a", newline="", encoding="utf-8") as file:
        overrides = csv.writer(file, lineterminator="\n")
        for _, photo in dataset.to_pandas(keep=True).iterrows():
            value = saturation(decode_crop(dataset.pixels.crop(photo)))
            if value < MIN_SATURATION and photo.image_id not in reviewed:
                overrides.writerow([photo.image_id, "drop", f"black and white (saturation {value:.1f})"])

    decided = decide.run(decide.DecideRequest(options.dataset, policy))
    print(f"without black-and-white photos: keep {decided.kept:,} of {decided.photos:,}")
    print(f"report: {report.run(options.dataset)}")


if __name__ == "__main__":
    main()
