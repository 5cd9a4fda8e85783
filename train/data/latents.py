"""Latents of faces: unit vectors of the loss's embedder, read from the dataset where it has them, else computed."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simplejpeg
import torch

from curate.counts import counted
from curate.faces.align import fit, warp_crops
from curate.faces.embedder import Embedder
from curate.listener import SILENT, Listener, progress
from manifests.output import atomic
from manifests.reader import Dataset, PixelReader
from train.data.faces import TrainingFaces, encode_lines

Latents = npt.NDArray[np.float16]
_BATCH = 64


def read_latents(
    dataset: Dataset,
    faces: TrainingFaces,
    embedder: Embedder,
    cache: Path,
    listener: Listener = SILENT,
) -> Latents:
    """Return the latents of faces, computing them where the dataset has no embeddings of `embedder`.

    Embeddings of another embedder are never used. Computed latents are kept in `cache` and read from there next time.

    Args:
        dataset: the dataset of `faces`.
        faces: N faces.
        embedder: the embedder of the identity loss.
        cache: folder of computed latents, created where missing.
        listener: receives the faces done while latents are computed, and a note at the end.

    Returns:
        Unit vectors float16 (N, D).

    Raises:
        DatasetError: a shard is missing, or older than the manifest.
    """
    if embedder.embedder_id in dataset.embedder_ids():
        rows = pa.table({"face_id": faces.face_id, "shard": np.array(faces.shards, object)[faces.shard]})
        return dataset.embeddings_for(rows, embedder.embedder_id)
    key = hashlib.sha256(encode_lines(faces.face_id) + faces.crop_offset.tobytes()).hexdigest()[:16]
    path = cache / f"{embedder.embedder_id}-{key}.npy"
    if not path.exists():
        with progress(listener, "embedding", len(faces), "faces") as advance:
            computed = _embed_crops(faces, embedder, advance)
        listener.note(f"embedded {counted(len(faces), 'face')}")
        with atomic(path) as partial, partial.open("wb") as file:
            np.save(file, computed)
    latents: Latents = np.load(path, mmap_mode="r", allow_pickle=False)
    return latents


def latent_centre(latents: Latents, min_norm: float) -> npt.NDArray[np.float32]:
    """Return the mean latent (D,), or zeros where its norm is at most `min_norm`.

    Some embedders map all people to a small region of the sphere; identity is then the difference from its centre.
    """
    mean = latents.mean(0, dtype=np.float64).astype(np.float32)
    return mean if np.linalg.norm(mean) > min_norm else np.zeros_like(mean)


def _embed_crops(faces: TrainingFaces, embedder: Embedder, advance: Callable[[int], None]) -> Latents:
    """Embed the stored crops, warped as the identity loss warps the generator's output."""
    reader = PixelReader(faces.root)
    matrices, _ = fit(faces.points, embedder.template)
    device = embedder.mean.device
    latents = np.empty((len(faces), embedder.dim), np.float16)
    for start in range(0, len(faces), _BATCH):
        stop = min(start + _BATCH, len(faces))
        crops = [
            simplejpeg.decode_jpeg(
                reader.read(
                    faces.shards[faces.shard[index]],
                    faces.crop_offset[index],
                    faces.crop_length[index],
                    faces.crop_crc[index],
                ),
                "RGB",
            )
            for index in range(start, stop)
        ]
        pixels = torch.from_numpy(np.stack(crops)).to(device).permute(0, 3, 1, 2).float()
        chips = warp_crops(pixels, torch.from_numpy(matrices[start:stop]).to(device), embedder.template.size)
        latents[start:stop] = embedder.embed(chips.round().to(torch.uint8)).cpu().numpy()
        advance(stop - start)
    return latents
