"""Measures in, the same measures out with `sharpness` scored by another calibration. No pixel is looked at."""

import hashlib
import json
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import torch

from curate.measure.sharpness import BlurCalibration, sharpness_score
from curate.measure.sharpness_statistics import SIZE, STATISTICS

COLUMNS = (*STATISTICS, "upscale", "sharpness")
"""Columns of the measures that a score is made of, and the one that is replaced."""


def rescored(measures: pa.Table, calibration: BlurCalibration, crop_side: int) -> pa.Table:
    """MEASURES (at least COLUMNS) -> the same with another `sharpness`; null where there is no face.

    crop_side: height in px of the dataset's crops, which `upscale` counts in; faces are scored at 224 px.
    """
    columns = {name: torch.from_numpy(np.array(measures[name].to_numpy(), np.float32)) for name in STATISTICS}
    upscale = torch.from_numpy(np.array(measures["upscale"].to_numpy(), np.float32)) * (SIZE / crop_side)
    score = pa.array(sharpness_score(columns, upscale, calibration).numpy(), pa.float32(), from_pandas=True)
    index = measures.schema.get_field_index("sharpness")
    return measures.set_column(index, measures.schema.field(index), score)


def calibration_sha256(calibration: BlurCalibration) -> str:
    """Hash of all that a calibration's file says, 64 hex digits; how the file is laid out does not matter."""
    return hashlib.sha256(json.dumps(asdict(calibration), sort_keys=True).encode()).hexdigest()
