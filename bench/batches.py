"""Batches of real faces for the benchmarks of training steps."""

import numpy as np
import torch

from curate.faces import align
from curate.faces.embedder import Embedder
from manifests.landmarks import TEMPLATES
from train import losses
from train.data.loader import Batch
from train.data.pairs import Kind

TEMPLATE = TEMPLATES["simswap-224"]


def make_batch(target: torch.Tensor, embedder: Embedder, index: int, kind: Kind) -> Batch:
    """Make a batch of crops of simswap-224, uint8 (N, 3, S, S).

    The source of each is the one before, declared of the same person or not (`kind`).
    """
    count, size = len(target), target.shape[-1]
    points = np.repeat(TEMPLATE.points[2:3] * (size / TEMPLATE.size[0]), count, 0)
    matrices = torch.from_numpy(align.fit(points, embedder.template)[0].astype(np.float32))
    source = target.roll(1, 0)
    with torch.no_grad():
        latents = losses.embed(embedder, source.float() / 255, matrices)
    order = np.arange(count)
    return Batch(
        index=index,
        kind=kind,
        targets=order,
        sources=np.roll(order, 1),
        target=target,
        latents=latents,
        same_person=torch.full((count,), kind == "same"),
        points=torch.from_numpy(points.astype(np.float32)),
        matrices=matrices,
        masks=torch.ones(count, 1, size, size, dtype=torch.uint8),
        source=source,
    )
