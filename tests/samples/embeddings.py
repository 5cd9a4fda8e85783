"""Synthetic people: directions in embedding space with scatter, so that the identity of every face is known."""

import hashlib

import numpy as np
import pyarrow as pa

from curate.relate.bucket import MeasuredBucket
from curate.relate.similarity import PairSimilarity
from manifests.arrays import hash_column

DIM = 64
SIMILARITY = PairSimilarity(same_mean=0.5, same_std=0.1, different_mean=0.0, different_std=0.125)
"""Of the photos that `photos_of` draws."""


def people(count, seed=0):
    """(count, DIM) unit vectors, one for each person."""
    vectors = np.random.default_rng(seed).standard_normal((count, DIM))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def photos_of(person, count, seed, scatter=0.125):
    """(count, DIM) unit vectors around a person; two of them have a cosine of about 0.5."""
    vectors = person + scatter * np.random.default_rng(seed).standard_normal((count, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def photos_of_several(*parts, seed=1):
    """Photos of several people in one folder; parts: (person, count)."""
    return np.concatenate([photos_of(person, count, seed + i) for i, (person, count) in enumerate(parts)])


def folder(name, *vectors):
    """Rows for `bucket`: one photo for each vector."""
    return [(f"{name}/{i:03d}.jpg", name, vector) for i, vector in enumerate(vectors)]


def bucket(rows):
    """Rows (image_id, identity, vector or None, optional changes) -> MeasuredBucket; faces of a photo are adjacent."""
    names = [image_id for image_id, *_ in rows]
    columns = {
        "image_id": names,
        "identity": [row[1] for row in rows],
        "face_id": [
            None if row[2] is None else f"{row[0]}#{names[:i].count(row[0])}" for i, row in enumerate(rows)
        ],
        "sha256": [hashlib.sha256(f"{i} {name}".encode()).hexdigest() for i, name in enumerate(names)],
        "file_size": [1000] * len(rows),
        "width": [300] * len(rows),
        "height": [300] * len(rows),
    }  # fmt: skip
    random = np.random.default_rng(len(rows))
    for name in ("phash", "phash_mirror", "face_phash"):
        hashes = random.integers(0, 2**63, len(rows), np.uint64)
        columns[name] = hash_column(hashes, np.array([row[2] is not None for row in rows]))
    columns["shrink"] = [1] * len(rows)
    columns["edge_grid"] = pa.nulls(len(rows), pa.binary())
    defaults = {"box_x0": 100.0, "box_y0": 100.0, "box_x1": 200.0, "box_y1": 200.0, "eye_distance": 50.0}
    defaults |= {"resolution": 0.9, "border": 0.0, "quantisation": 6.0}
    defaults |= dict.fromkeys(("sharpness", "yaw", "pitch", "brightness", "local_contrast"), 0.5)
    for name, value in defaults.items():
        values = [None if row[2] is None else (row[3] if len(row) > 3 else {}).get(name, value) for row in rows]
        columns[name] = pa.array(values, pa.float32())
    vectors = [row[2] for row in rows if row[2] is not None]
    return MeasuredBucket(pa.table(columns), np.array(vectors, np.float16).reshape(-1, DIM))


def random_hashes(random, count):
    """(count,) uint64."""
    return random.integers(0, 2**64, count, np.uint64)


def flip_bits(random, hashes, bits):
    """The hashes with so many random bits changed in each; bits: one number, or one for each hash."""
    changed = hashes.copy()
    for i, count in enumerate(np.broadcast_to(bits, len(hashes))):
        for bit in random.choice(64, count, replace=False):
            changed[i] ^= np.uint64(1) << np.uint64(bit)
    return changed
