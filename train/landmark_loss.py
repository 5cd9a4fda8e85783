"""The distance between the landmarks of a swap and of its target: keeps pose and expression.

Landmarks are regressed by the output network of the built-in detector (Zhang et al. 2016), which is small and
differentiable. A detection on the swap would not be: both faces are cropped by the landmarks of the target, which the
batch has, so that errors of the network that they share cancel.
"""

import torch
from torch import Tensor

from curate.faces.align import fit, warp_crops
from curate.faces.detectors.mtcnn_networks import load
from curate.faces.detectors.refine import TEMPLATE
from manifests.landmarks import Template
from train.build import Networks
from train.data.distortion import compose

_SHIFT, _SCALE = 0.03, 0.06  # deviation of the crop's shift, in its sides, and of the logarithm of its scale


class LandmarkLoss:
    """L_lm: mean distance of five landmarks, in eye distances, over the faces and both orientations of each.

    The crop is moved and scaled at random, the same for swap and target: against one fixed crop, a generator could
    learn patterns that shift the landmarks of this crop alone.

    Args:
        template: that of the embedder's chips, with which the batch's matrices are computed.
        device: of the images.

    Raises ModelError where the detector's weights are missing or damaged.
    """

    def __init__(self, template: Template, device: torch.device) -> None:
        self.network = load(device)[2]
        points = TEMPLATE.points[0]
        self.eye_distance = float(points[1, 0] - points[0, 0]) / TEMPLATE.size[0]  # in sides of the crop
        # Templates of several poses: their mean.
        from_chip, _ = fit(template.points.mean(0, keepdims=True), TEMPLATE)
        self._from_chip = torch.from_numpy(from_chip).float().to(device)

    def __call__(self, swapped: Tensor, target: Tensor, matrices: Tensor) -> Tensor:
        """L_lm, a scalar; differentiable with respect to `swapped`.

        Args:
            swapped, target: float (N, 3, S, S), RGB in [0, 1], `swapped` not clamped.
            matrices: (N, 2, 3), crop -> the embedder's chip, of the target's face.
        """
        with torch.autocast(swapped.device.type, enabled=False):
            crops = compose(self._moves(len(matrices)), compose(self._from_chip, matrices.float()))
            with torch.no_grad():
                reference = self._landmarks(target, crops)
            distance: Tensor = torch.linalg.vector_norm(self._landmarks(swapped, crops) - reference, dim=2)
            return distance.mean() / self.eye_distance

    def _landmarks(self, rgb01: Tensor, matrices: Tensor) -> Tensor:
        """Landmarks (2 N, 5, 2) of the faces and of their mirror images, in sides of the crop."""
        pixels = (warp_crops(rgb01.float(), matrices, TEMPLATE.size) * 255 - 127.5) / 128
        pixels = torch.cat([pixels, pixels.flip(3)]).contiguous(memory_format=torch.channels_last)
        points: Tensor = self.network(pixels)[2]
        return points

    def _moves(self, count: int) -> Tensor:
        """Random moves (N, 2, 3) of the crop about its centre."""
        draw = torch.randn(count, 3, device=self._from_chip.device)
        side, scale = TEMPLATE.size[0], torch.exp(_SCALE * draw[:, 2])
        shift = _SHIFT * side * draw[:, :2] + (1 - scale)[:, None] * ((side - 1) / 2)
        zero = torch.zeros_like(scale)
        return torch.stack([scale, zero, shift[:, 0], zero, scale, shift[:, 1]], 1).view(count, 2, 3)


def build_landmark_loss(networks: Networks) -> LandmarkLoss | None:
    """The loss of a training; None where its recipe has no weight for it."""
    return LandmarkLoss(networks.embedder.template, networks.centre.device) if networks.recipe.landmarks else None
