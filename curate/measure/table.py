"""MEASURES: every measure, the columns that it produces, and its inputs.

To add a measure, declare its columns in `PHOTO_NUMBERS` or `FACE_NUMBERS` of manifests/schema.py, write the function
in a module of this package, and add an entry here. If it decides, add a rule to `RULES` of curate/decide/rules.py.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from curate.decode import Decoded
from curate.measure.cover import cover
from curate.measure.damage import flat_fraction, photo_damage
from curate.measure.exposure import exposure
from curate.measure.framing import photo_framing
from curate.measure.geometry import detection, face_share, geometry
from curate.measure.hashes import face_hash, photo_hash
from curate.measure.inputs import FaceInputs, PhotoInputs
from curate.measure.resolution import photo_resolution
from curate.measure.sharpness import sharpness
from curate.measure.sharpness_statistics import STATISTICS
from curate.measure.sharpness_statistics import VERSION as SHARPNESS_VERSION
from curate.measure.stretch import stretch
from manifests.schema import BOX, FACE_NUMBERS, LANDMARKS, PHOTO_NUMBERS, Column

Scope = Literal["photo", "face"]
PhotoValue = float | str | bytes
"""A column of one photo."""
INPUTS: dict[Scope, type] = {"photo": PhotoInputs, "face": FaceInputs}
"""The class whose attributes are the inputs of a measure of each scope."""


@dataclass(frozen=True)
class Measure:
    """One measure: a pure function from inputs to columns.

    Attributes:
        name: unique among the measures.
        scope: "photo": called for each decoded photo, in the threads that decode, returning `PhotoValue`s. "face":
            called once a batch, on the device, returning a tensor or array (N,) for each column.
        columns: names of the columns, each declared in manifests/schema.py.
        inputs: arguments of the function, in order: attributes of `PhotoInputs` or of `FaceInputs`.
        function: returns exactly `columns`. NaN is stored as null.
        version: increases when the function gives other results for the same inputs; finished shards are then
            measured again.
    """

    name: str
    scope: Scope
    columns: tuple[str, ...]
    inputs: tuple[str, ...]
    function: Callable[..., Mapping[str, Any]]
    version: int = 1

    def __call__(self, inputs: PhotoInputs | FaceInputs) -> Mapping[str, Any]:
        """Call the function with its inputs.

        Raises:
            ValueError: the function returned other columns than declared.
        """
        columns = self.function(*(getattr(inputs, name) for name in self.inputs))
        if columns.keys() != set(self.columns):
            raise ValueError(f"measure {self.name} returned {sorted(columns)}, declared are {sorted(self.columns)}")
        return columns


MEASURES = (
    Measure("hash", "photo", ("phash", "phash_mirror"), ("luma",), photo_hash),
    Measure("damage", "photo", ("flat_rows", "blockiness", "corruption"), ("pixels", "luma"), photo_damage, version=5),
    Measure("resolution", "photo", ("resolution",), ("luma",), photo_resolution),
    Measure("framing", "photo", ("border", "edge_grid", "quantisation"), ("pixels", "luma"), photo_framing, version=4),
    Measure(
        "detection",
        "face",
        ("detection_score", "landmark_source", *BOX, *LANDMARKS),
        ("faces",),
        detection,
    ),
    Measure(
        "geometry",
        "face",
        ("eye_distance", "upscale", "inside"),
        ("faces", "template", "matrices", "scale", "photo_sizes"),
        geometry,
    ),
    Measure("pose", "face", ("yaw", "pitch", "roll"), ("head_pose",), dict, version=2),
    Measure("stretch", "face", ("stretch", "stretch_error"), ("photo_points", "yaw"), stretch, version=3),
    Measure(
        "sharpness",
        "face",
        ("sharpness", *STATISTICS, "noise"),
        ("standard_crops", "standard_label_maps", "standard_points", "calibration"),
        sharpness,
        version=SHARPNESS_VERSION,
    ),
    Measure(
        "exposure",
        "face",
        ("brightness", "contrast", "local_contrast", "clipped_dark", "clipped_bright", "colourfulness", "ita"),
        ("thinned", "label_maps", "crop_points"),
        exposure,
    ),
    Measure("flat_fraction", "face", ("flat_fraction",), ("crops", "crop_points"), flat_fraction),
    Measure("face_share", "face", ("face_share",), ("stored_label_maps",), face_share),
    Measure(
        "cover",
        "face",
        ("eyes_covered", "mouth_covered", "sunglasses"),
        ("thinned", "label_maps", "crop_points"),
        cover,
    ),
    Measure("face_hash", "face", ("face_phash",), ("crops",), face_hash),
)


def measure_photo(measures: Iterable[Measure], photo: Decoded) -> dict[str, PhotoValue]:
    """Run the photo measures: column -> number, text or bytes."""
    inputs = PhotoInputs(photo.pixels)
    return {
        name: value
        for measure in measures
        if measure.scope == "photo"
        for name, value in measure(inputs).items()
    }  # fmt: skip


def measure_faces(measures: Iterable[Measure], faces: FaceInputs) -> dict[str, npt.NDArray[np.generic]]:
    """Run the face measures: column -> array (N,)."""
    return {
        name: value.cpu().numpy() if isinstance(value, Tensor) else value
        for measure in measures
        if measure.scope == "face"
        for name, value in measure(faces).items()
    }


def versions(measures: Iterable[Measure] = MEASURES) -> dict[str, int]:
    """Return name -> version: the part of a shard's fingerprint that depends on the measures."""
    return {measure.name: measure.version for measure in measures}


def check_measures(
    measures: Sequence[Measure],
    photo_columns: Iterable[Column] = PHOTO_NUMBERS,
    face_columns: Iterable[Column] = FACE_NUMBERS,
) -> None:
    """Check measures against the schema: every column is produced by exactly one measure.

    Raises:
        ValueError: a name or column occurs twice, an input does not exist, the schema lacks a column, or no measure
            produces one.
    """
    names = [measure.name for measure in measures]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two measures are called {sorted(repeated)[0]}: rename one in MEASURES")
    declared = {
        "photo": ("PHOTO_NUMBERS", {column.name for column in photo_columns}),
        "face": ("FACE_NUMBERS", {column.name for column in face_columns}),
    }
    producers: dict[str, str] = {}
    for measure in measures:
        table, known = declared[measure.scope]
        for name in measure.inputs:
            if name not in (available := _attributes(INPUTS[measure.scope])):
                raise ValueError(f"measure {measure.name}: input {name} does not exist; choose {', '.join(available)}")
        for name in measure.columns:
            if name not in known:
                raise ValueError(
                    f"measure {measure.name}: column {name} is not declared; "
                    f"add Column({name!r}, ...) to {table} in manifests/schema.py"
                )
            if name in producers:
                raise ValueError(f"measures {producers[name]} and {measure.name} both produce column {name}")
            producers[name] = measure.name
    for table, known in declared.values():
        if missing := sorted(known - producers.keys()):
            raise ValueError(
                f"no measure produces {', '.join(missing)} of {table} in manifests/schema.py; "
                "add an entry to MEASURES in curate/measure/table.py, or remove the column"
            )


def _attributes(inputs: type) -> list[str]:
    own = {field.name for field in fields(inputs)} | {name for name in vars(inputs) if not name.startswith("_")}
    return sorted(own)


check_measures(MEASURES)
