"""The inputs that a measure can take, computed once a photo or once a batch of faces."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from curate.decode import Pixels
from curate.faces import align
from curate.faces.faces import Faces
from curate.measure.pose import pose
from curate.measure.sharpness import BlurCalibration
from curate.measure.thinned import Thinned
from manifests.landmarks import TEMPLATES, Template

MEASURED_SIDE = 224
"""Side of the crops that measures are taken on, px: one size, so that numbers compare between templates."""

STANDARD = TEMPLATES["simswap-224"]
"""Alignment of the crops on which sharpness is measured: with another, faces would be larger, and so softer."""


@dataclass(frozen=True)
class PhotoInputs:
    """One decoded photo. An entry of MEASURES names the attributes that its function takes.

    Attributes:
        pixels: uint8 (H, W, 3) RGB.
    """

    pixels: Pixels

    @property
    def width(self) -> int:
        """Width, px."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height, px."""
        return int(self.pixels.shape[0])

    @cached_property
    def luma(self) -> Pixels:
        """Luma by ITU-R BT.601, rounded, uint8 (H, W)."""
        return np.asarray(cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY), np.uint8)


@dataclass(frozen=True)
class FaceInputs:
    """N faces of a batch of photos. An entry of MEASURES names the attributes that its function takes.

    Attributes:
        photos: the batch that `faces.photo` indexes, uint8 (H, W, 3) RGB each.
        faces: boxes, landmarks and detection scores, in px of the photos.
        template: alignment and size S of the stored crops.
        matrices: float64 (N, 2, 3), photo -> stored crop.
        stored_crops: uint8 (N, 3, S, S) RGB.
        stored_label_maps: uint8 (N, S, S), CelebAMask classes.
        calibration: weights of the sharpness score.
    """

    photos: Sequence[Pixels]
    faces: Faces
    template: Template
    matrices: npt.NDArray[np.float64]
    stored_crops: Tensor
    stored_label_maps: Tensor
    calibration: BlurCalibration

    @cached_property
    def photo_sizes(self) -> npt.NDArray[np.int64]:
        """Height and width of each face's photo, int64 (N, 2), px."""
        return np.array([self.photos[index].shape[:2] for index in self.faces.photo], np.int64)

    @cached_property
    def photo_points(self) -> Tensor:
        """Landmarks in px of the photo, float32 (N, 5, 2), on the CPU."""
        return torch.from_numpy(self.faces.landmarks)

    @cached_property
    def head_pose(self) -> dict[str, Tensor]:
        """`yaw`, `pitch` and `roll` of `curate.measure.pose`, float32 (N,), degrees, on the CPU."""
        return pose(self.photo_points)

    @cached_property
    def yaw(self) -> Tensor:
        """`yaw` of `head_pose`."""
        return self.head_pose["yaw"]

    @cached_property
    def scale(self) -> npt.NDArray[np.float64]:
        """Px of the stored crop per px of the photo, float64 (N,)."""
        return np.asarray(np.sqrt(np.abs(np.linalg.det(self.matrices[:, :, :2]))), np.float64)

    @cached_property
    def crops(self) -> Tensor:
        """Crops at MEASURED_SIDE, uint8 (N, 3, 224, 224) RGB."""
        if self._side == MEASURED_SIDE:
            return self.stored_crops
        size = (MEASURED_SIDE, MEASURED_SIDE)
        resized = interpolate(self.stored_crops.float(), size, mode="bilinear", antialias=True)
        return resized.round().clamp(0, 255).byte()

    @cached_property
    def thinned(self) -> Thinned:
        """Every second pixel of `crops`."""
        return Thinned.of(self.crops)

    @cached_property
    def label_maps(self) -> Tensor:
        """Label maps of `crops`, uint8 (N, 224, 224)."""
        if self._side == MEASURED_SIDE:
            return self.stored_label_maps
        size = (MEASURED_SIDE, MEASURED_SIDE)
        return interpolate(self.stored_label_maps[:, None].float(), size, mode="nearest-exact")[:, 0].byte()

    @cached_property
    def crop_points(self) -> Tensor:
        """Landmarks in px of `crops`, float32 (N, 5, 2)."""
        points = align.transform_points(self.faces.landmarks, self.matrices).astype(np.float32)
        on_device = torch.from_numpy(points).to(self.stored_crops.device)
        return on_device if self._side == MEASURED_SIDE else align.rescale_points(on_device, MEASURED_SIDE / self._side)

    @cached_property
    def standard_crops(self) -> Tensor:
        """Crops aligned to STANDARD, uint8 (N, 3, 224, 224) RGB: the stored ones, moved by one matrix for all."""
        if self._is_standard:
            return self.stored_crops
        images = list(self.stored_crops.permute(0, 2, 3, 1).cpu().numpy())
        matrices = self._to_standard.repeat(len(images), 0)
        return align.warp(images, np.arange(len(images)), matrices, STANDARD.size, self.stored_crops.device)

    @cached_property
    def standard_label_maps(self) -> Tensor:
        """Label maps of `standard_crops`, uint8 (N, 224, 224)."""
        if self._is_standard:
            return self.stored_label_maps
        moved = np.zeros((len(self.stored_label_maps), *STANDARD.size), np.uint8)
        for label_map, target in zip(self.stored_label_maps.cpu().numpy(), moved, strict=True):
            cv2.warpAffine(label_map, self._to_standard[0], STANDARD.size[::-1], target, cv2.INTER_NEAREST)
        return torch.from_numpy(moved).to(self.stored_label_maps.device)

    @cached_property
    def standard_points(self) -> Tensor:
        """Landmarks in px of `standard_crops`, float32 (N, 5, 2)."""
        points = align.transform_points(self.faces.landmarks, self.matrices)
        if not self._is_standard:
            points = align.transform_points(points, self._to_standard.repeat(len(points), 0))
        return torch.from_numpy(points.astype(np.float32)).to(self.stored_crops.device)

    @property
    def _is_standard(self) -> bool:
        return self.template.name == STANDARD.name

    @property
    def _to_standard(self) -> npt.NDArray[np.float64]:
        """Stored crop -> crop of STANDARD, float64 (1, 2, 3)."""
        return align.fit(self.template.points[:1], STANDARD)[0]

    @property
    def _side(self) -> int:
        return self.template.size[1]
