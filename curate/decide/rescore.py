"""Sharpness scored again by another blur calibration, from the stored statistics; no pixels are read."""

import hashlib
import json
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import torch

from curate.measure.sharpness import BlurCalibration, sharpness_score
from curate.measure.sharpness_statistics import STATISTICS

COLUMNS = (*STATISTICS, "sharpness")
"""Columns of the measures that `rescored` reads; sharpness is replaced."""


def rescored(measures: pa.Table, calibration: BlurCalibration) -> pa.Table:
    """Return measures (at least COLUMNS) with sharpness scored by `calibration`; null where there is no face."""
    columns = {name: torch.from_numpy(np.array(measures[name].to_numpy(), np.float32)) for name in STATISTICS}
    score = pa.array(sharpness_score(columns, calibration).numpy(), pa.float32(), from_pandas=True)
    index = measures.schema.get_field_index("sharpness")
    return measures.set_column(index, measures.schema.field(index), score)


def calibration_sha256(calibration: BlurCalibration) -> str:
    """Return the SHA-256 of a calibration's values, 64 hex digits; the layout of its file has no effect."""
    return hashlib.sha256(json.dumps(asdict(calibration), sort_keys=True).encode()).hexdigest()
