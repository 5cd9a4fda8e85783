"""A small manifest of invented photos, without pixels, for examples and tests.

`DEMO` is the committed file; `demo_manifest` returns its table, `python -m manifests.examples` writes it again.
"""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.layout import POLICY, POLICY_HASH
from manifests.schema import FACE_NUMBERS, MANIFEST, arrow_schema

DEMO = Path(__file__).with_name("demo.parquet")

PEOPLE = ("Ada", "Blaise", "Emmy", "Leonhard")
_PHOTOS = 15

# Values of a person's n-th photo that differ from those of a photo without faults.
_FAULTS: dict[tuple[str, int], dict[str, Any]] = {
    ("Ada", 3): {
        "reasons": ["blurred"], "sharpness": 0.08, "fine_ratio": -2.6, "edge_ratio_min": 0.06, "detail_octaves": -3.1,
    },
    ("Ada", 7): {
        "reasons": ["other_person"], "own_similarity": 0.04, "nearest_identity": "Emmy", "nearest_similarity": 0.66,
        "margin": -0.62, "wrong_person": 0.98, "suggested_identity": "Emmy",
    },
    ("Ada", 8): {
        "reasons": ["uncertain_person"], "own_similarity": 0.31, "nearest_identity": "Blaise",
        "nearest_similarity": 0.27, "margin": 0.04, "wrong_person": 0.34,
    },
    ("Ada", 9): {"reasons": ["duplicate"], "duplicate_of": "Ada/0002.jpg", "duplicate_kind": "exact"},
    ("Blaise", 2): {"reasons": ["too_dark"], "brightness": 14.0, "clipped_dark": 0.62},
    ("Blaise", 5): {"reasons": ["too_small", "blurred"], "eye_distance": 11.0, "upscale": 7.6, "sharpness": 0.02},
    ("Blaise", 6): {"reasons": ["no_face"]},
    ("Emmy", 1): {"reasons": ["stretched"], "stretch": 1.48},
    ("Emmy", 4): {"reasons": ["near_duplicate"], "duplicate_of": "Emmy/0003.jpg", "duplicate_kind": "near"},
    ("Emmy", 8): {"reasons": ["too_bright"], "brightness": 243.0, "clipped_bright": 0.55},
    ("Emmy", 11): {"reasons": ["blurred"], "sharpness": 0.31, "verdict": "keep", "verdict_source": "override"},
    ("Leonhard", 0): {"reasons": ["undecodable"], "error": "truncated JPEG"},
    ("Leonhard", 6): {"reasons": ["corrupt_pixels"], "corruption": 0.34, "flat_rows": 0.41},
    ("Leonhard", 9): {"reasons": [], "verdict": "drop", "verdict_source": "override"},
}  # fmt: skip

# Range of each measure on a photo without faults; 0.1 to 0.9 unless listed.
_RANGES = {column.name: (0.1, 0.9) for column in FACE_NUMBERS if pa.types.is_float32(column.dtype)} | {
    "detection_score": (0.97, 1.0), "box_x0": (90, 140), "box_y0": (70, 120), "box_x1": (260, 320),
    "box_y1": (300, 360),
    "left_eye_x": (155, 170), "left_eye_y": (185, 200), "right_eye_x": (235, 250), "right_eye_y": (185, 200),
    "nose_x": (190, 215), "nose_y": (225, 245), "left_mouth_x": (160, 175), "left_mouth_y": (270, 290),
    "right_mouth_x": (230, 245), "right_mouth_y": (270, 290),
    "eye_distance": (55, 95), "upscale": (0.9, 1.4), "inside": (0.93, 1.0), "yaw": (-40, 40), "pitch": (-15, 15),
    "roll": (-12, 12), "stretch": (0.95, 1.05), "sharpness": (0.72, 0.99), "fine_ratio": (-1.2, -0.5),
    "edge_ratio_min": (0.2, 0.4), "detail_octaves": (-1.3, -0.2), "noise": (0, 2), "brightness": (95, 165),
    "contrast": (35, 60), "local_contrast": (0.1, 0.2), "clipped_dark": (0, 0.02), "clipped_bright": (0, 0.02),
    "colourfulness": (15, 30), "blockiness": (0.95, 1.1), "corruption": (0, 0.01), "face_share": (0.38, 0.5),
    "ita": (10, 50), "own_similarity": (0.58, 0.82), "nearest_similarity": (0.02, 0.18), "flat_rows": (0, 0.01),
    "wrong_person": (0.0, 0.05),
}  # fmt: skip


def demo_manifest() -> pa.Table:
    """Return the rows of the example: 60 photos of four people, fourteen with a fault, a doubt or an override."""
    rows = [_photo(person, index) for person in PEOPLE for index in range(_PHOTOS)]
    metadata = {POLICY: "an example, decided by no policy", POLICY_HASH: "example"}
    return pa.Table.from_pylist(rows, arrow_schema("manifest", metadata))


def _photo(person: str, index: int) -> dict[str, Any]:
    image_id = f"{person}/{index:04d}.jpg"
    fault = _FAULTS.get((person, index), {"reasons": []})
    decoded = "error" not in fault
    has_face = decoded and fault["reasons"] != ["no_face"]
    row: dict[str, Any] = {column.name: None for column in MANIFEST}
    row |= {
        "image_id": image_id,
        "identity": person,
        "source_identity": person,
        "verdict_source": "policy",
        "face_count": int(has_face),
    }
    verdict = "drop" if fault["reasons"] else "keep"
    row |= {"verdict": "review" if fault["reasons"] == ["uncertain_person"] else verdict}
    row |= {"file_size": _integer(image_id, "file_size", 20_000, 60_000), "mtime_ns": 1_500_000_000_000_000_000 + index}
    row["sha256"] = hashlib.sha256(str(fault.get("duplicate_of", image_id)).encode()).hexdigest()
    if decoded:
        row |= {"format": "JPEG", "width": 400, "height": 450, "shrink": 1, "flat_rows": 0.0, "turn": 0}
        row |= {name: _hash(image_id, name) for name in ("phash", "phash_mirror")}
    if has_face:
        row |= {name: round(low + (high - low) * _uniform(image_id, name), 4) for name, (low, high) in _RANGES.items()}
        row |= {"face_id": f"{image_id}#0", "landmark_source": "detector", "shard": "faces/b-000.parquet"}
        row |= {"face_phash": _hash(image_id, "face_phash"), "identity_size": 14, "identity_cohesion": 0.7}
        row |= {"nearest_identity": PEOPLE[PEOPLE.index(person) - 1]}
        row["margin"] = round(row["own_similarity"] - row["nearest_similarity"], 4)
        offset = 20_000 * (PEOPLE.index(person) * _PHOTOS + index)
        row |= {"crop_offset": 4 + offset, "crop_length": 19_000, "mask_offset": 2_000_004 + offset // 10}
        row |= {"mask_length": 1_600} | {name: _integer(image_id, name, 0, 2**32) for name in ("crop_crc", "mask_crc")}
    row |= fault
    row["keep"] = row["verdict"] == "keep"
    return row


def _uniform(image_id: str, name: str) -> float:
    """Hash to a number in [0, 1), independent of the version of numpy's generators."""
    return int.from_bytes(hashlib.blake2b(f"{image_id} {name}".encode(), digest_size=6).digest(), "little") / 2**48


def _hash(image_id: str, name: str) -> str:
    return f"{_integer(image_id, name, 0, 2**64):016x}"


def _integer(image_id: str, name: str, low: int, high: int) -> int:
    return low + int((high - low) * _uniform(image_id, name))
