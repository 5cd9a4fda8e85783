"""Comparison of faces with all centroids on a GPU, within rounding of the one on the CPU."""

import numpy as np
import torch

from curate.relate.other_identities import Floats, Rows, Vectors, is_defined

_MAX_BYTES = 1 << 28
"""Of the cosines of one block, float32, and their squares; each thread holds one block."""


class DeviceCentroids:
    """`curate.relate.other_identities.Comparison` by torch.

    Args:
        centroids: (K, D) unit vectors; rows of zeros are identities without a face.
        device: of torch.
    """

    def __init__(self, centroids: Vectors, device: str) -> None:
        self.centroids = centroids
        self.block = max(1, _MAX_BYTES // (8 * max(1, len(centroids))))
        self._device = torch.device(device)
        self._transposed = torch.from_numpy(centroids).to(self._device).T
        self._undefined = torch.from_numpy(np.flatnonzero(~is_defined(centroids))).to(self._device)

    @torch.inference_mode()
    def __call__(self, faces: Vectors, own: Rows) -> tuple[Rows, Floats, Floats, Floats]:
        cosine = torch.from_numpy(np.ascontiguousarray(faces)).to(self._device) @ self._transposed
        at = torch.from_numpy(np.flatnonzero(own >= 0)).to(self._device)
        column = torch.from_numpy(own[own >= 0]).to(self._device)
        own_cosine = torch.zeros(len(cosine), device=self._device)
        own_cosine[at] = cosine[at, column]
        cosine[at, column] = 0
        squares = cosine.square().sum(1)
        cosine[at, column] = -torch.inf
        cosine[:, self._undefined] = -torch.inf
        values, best = cosine.max(1)
        return best.cpu().numpy(), values.cpu().numpy(), own_cosine.cpu().numpy(), squares.cpu().numpy()
