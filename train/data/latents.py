"""Faces and the loss's embedder -> the latent of each face (N, D): stored ones where they are of that embedder."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simplejpeg
import torch

from curate.faces.align import fit, warp_crops
from curate.faces.embedder import Embedder
from manifests.output import atomic
from manifests.reader import Dataset, PixelReader
from train.data.faces import TrainingFaces, json_lines

Latents = npt.NDArray[np.float16]
_CHUNK = 64


def read_latents(
    dataset: Dataset,
    photos: TrainingFaces,
    embedder: Embedder,
    cache: Path,
    tell: Callable[[int, int], None] | None = None,
) -> Latents:
    """Unit vectors float16 (N, D), row for row as `photos`.

    The dataset's own where it holds embeddings of `embedder`: vectors of another one are never used. Otherwise the
    crops are embedded once and kept in the folder `cache`; `tell(done, of)` follows that.
    Raises DatasetError: a shard is missing or stale.
    """
    if embedder.embedder_id in dataset.embedder_ids():
        rows = pa.table({"face_id": photos.face_id, "shard": np.array(photos.shards, object)[photos.shard]})
        return dataset.embeddings_for(rows, embedder.embedder_id)
    key = hashlib.sha256(json_lines(photos.face_id) + photos.crop_offset.tobytes()).hexdigest()[:16]
    path = cache / f"{embedder.embedder_id}-{key}.npy"
    if not path.exists():
        vectors = _computed(photos, embedder, tell)
        with atomic(path) as partial, partial.open("wb") as file:
            np.save(file, vectors)
    found: Latents = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def centre_of(latents: Latents, above: float) -> npt.NDArray[np.float32]:
    """The mean latent (D,) where its length is over `above`, else zeros.

    An embedder that keeps all people in one corner of the sphere says who someone is by the difference from it.
    """
    mean = latents.mean(0, dtype=np.float64).astype(np.float32)
    return mean if np.linalg.norm(mean) > above else np.zeros_like(mean)


def _computed(photos: TrainingFaces, embedder: Embedder, tell: Callable[[int, int], None] | None) -> Latents:
    """From the stored crops, by the warp that the identity loss uses."""
    reader = PixelReader(photos.root)
    matrices, _ = fit(photos.points, embedder.template)
    device = embedder.mean.device
    vectors = np.empty((len(photos), embedder.dim), np.float16)
    for start in range(0, len(photos), _CHUNK):
        rows = range(start, min(start + _CHUNK, len(photos)))
        crops = [
            simplejpeg.decode_jpeg(
                reader.read(photos.shards[photos.shard[row]], photos.crop_offset[row], photos.crop_length[row]), "RGB"
            )
            for row in rows
        ]
        pixels = torch.from_numpy(np.stack(crops)).to(device).permute(0, 3, 1, 2).float()
        where = torch.from_numpy(matrices[rows.start : rows.stop]).to(device)
        chips = warp_crops(pixels, where, embedder.template.size).round().to(torch.uint8)
        vectors[rows.start : rows.stop] = embedder.embed(chips).cpu().numpy()
        if tell is not None:
            tell(rows.stop, len(photos))
    return vectors
