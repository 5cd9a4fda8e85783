"""Registration of a swapped face: its landmarks are moved to those of the target.

People differ in the places of eyes, nose and mouth. A generator that draws a person from a narrow code draws them where
the person has them, and the face seems turned. A thin-plate spline moves the pixels by the difference between the
landmarks of swap and target, which the output network of the built-in detector (Zhang et al. 2016) regresses on equal
crops of both, so that its errors cancel: detections would differ by more, since a swap of 96 px is softer than its
target. One spline is smooth and leaves a part of the difference; a second one costs identity and gains little
(bench/RESULTS.md).
"""

import torch
from torch import Tensor

from curate.faces.align import fit, warp_crops
from curate.faces.detectors.mtcnn_networks import load
from curate.faces.detectors.refine import TEMPLATE
from manifests.landmarks import FLIP_POINTS
from train.data.distortion import compose, invert, transform
from train.networks.face_generator import FaceGenerator
from train.networks.source_warp import warp_to

_MIN_SCORE = 0.7  # of the network; below it a face is not moved, as in the detector
_SHIFT, _SCALE = 0.02, 1.05  # of the crops over which a regression is averaged, in their sides
_CROPS = ((-1, -1, -1), (1, -1, 1), (-1, 1, 1), (1, 1, -1))  # signs: to the right, down, larger


class Registration:
    """Moves the faces of swaps to the landmarks of their targets.

    Args:
        device: of the images.

    Raises ModelError where the detector's weights are missing or damaged.
    """

    def __init__(self, device: torch.device) -> None:
        self._network = load(device)[2]
        self._views = torch.tensor([_view(*signs) for signs in _CROPS], device=device)  # (V, 2, 3)

    @torch.inference_mode()
    def __call__(self, swapped: Tensor, target: Tensor, points: Tensor) -> Tensor:
        """Register swaps.

        Args:
            swapped, target: float (N, 3, S, S), RGB in [0, 1].
            points: (N, 5, 2), landmarks of the targets, px of the crop.

        Returns:
            (N, 3, S, S): each swap, warped; as it is where the network finds no face in it or in the target.
        """
        if not len(swapped):
            return swapped
        points = points.float()
        matrices = torch.from_numpy(fit(points.cpu().numpy(), TEMPLATE)[0]).float().to(swapped.device)
        reference, is_face = self._landmarks(target, matrices)
        landmarks, is_found = self._landmarks(swapped, matrices)
        moved = warp_to(swapped, points + landmarks - reference, points)
        return torch.where((is_face & is_found)[:, None, None, None], moved, swapped)

    def _landmarks(self, rgb01: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor]:
        """Landmarks (N, 5, 2), px of the crop, and whether they are of a face (N,), by the mean over views and mirrors.

        matrices: (N, 2, 3), crop -> the network's crop.
        """
        faces, views = len(rgb01), len(self._views)
        rows = torch.arange(faces, device=rgb01.device).repeat_interleave(views)
        crops = compose(self._views.repeat(faces, 1, 1), matrices[rows])
        pixels = (warp_crops(rgb01[rows].float(), crops, TEMPLATE.size) * 255 - 127.5) / 128
        pixels = torch.cat([pixels, pixels.flip(3)]).contiguous(memory_format=torch.channels_last)
        score, _, points = self._network(pixels)
        plain, mirrored = points.chunk(2)
        mirrored = mirrored[:, list(FLIP_POINTS)]
        mirrored = torch.stack([1 - mirrored[..., 0], mirrored[..., 1]], -1)
        # In sides of the box, from its edge; pixel centres are at integers.
        on_crop = transform((plain + mirrored) / 2 * TEMPLATE.size[0] - 0.5, invert(crops))
        return on_crop.view(faces, views, 5, 2).mean(1), score.view(2, faces, views).amin((0, 2)) > _MIN_SCORE


def registration_of(network: FaceGenerator) -> Registration | None:
    """The registration of a generator's swaps; None where it draws faces in their places itself."""
    return Registration(network.mean.device) if network.registered else None


def _view(right: int, down: int, larger: int) -> list[list[float]]:
    """The matrix (2, 3) that moves and scales the network's crop about its centre."""
    side, scale = TEMPLATE.size[0], _SCALE**larger
    centre = (1 - scale) * (side - 1) / 2
    return [[scale, 0.0, centre + right * _SHIFT * side], [0.0, scale, centre + down * _SHIFT * side]]
