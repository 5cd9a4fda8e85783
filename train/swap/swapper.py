"""Swaps faces in photos and video frames: all faces of a batch in one pass of each network."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.faces.align import rescale_matrices, rescale_points, transform_points
from curate.faces.faces import Faces
from curate.faces.segment import CLASSES, MaskKind, Segmenter, binary_mask
from train.networks.conditioning import SourceFaces
from train.swap.consent import Consent
from train.swap.detection import SwapDetector
from train.swap.paste import feather, inside_photo, match_colour, nearest_face, paste
from train.swap.reference import ReferencePeople
from train.swap.registration import registration_of
from train.trained import TrainedGenerator, shrink

Pixels = npt.NDArray[np.uint8]

_FEATURES = torch.tensor(
    [name in {"nose", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip"} for name in CLASSES]
)
_MIN_FEATURE_SHARE = 0.015
"""Share of the crop that eyes, brows, nose and mouth must cover. They cover 3 to 10% of faces, and less than 1.5% of
hands that are detected as faces."""


@dataclass(frozen=True)
class SwappedPhoto:
    """A photo or frame after swapping.

    Attributes:
        pixels: uint8 (H, W, 3) RGB; the input itself where no face was swapped.
        faces: Number of faces detected.
        swapped: Number of faces swapped.
        reason: Why none was swapped; empty where one was.
        refused: The reason is that a person in the exclusion galleries is in the photo.
    """

    pixels: Pixels
    faces: int
    swapped: int
    reason: str = ""
    refused: bool = False


@dataclass(frozen=True)
class _Selection:
    """faces: bool (K,), the faces to swap. reasons: per photo, why none is. refused: bool (P,), see SwappedPhoto."""

    faces: npt.NDArray[np.bool_]
    reasons: list[str]
    refused: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _SwappedCrops:
    """Swapped faces: `rows` (J,) of the faces of the batch, colours (J, S, S, 3) RGB 0 to 255, alphas (J, S, S)."""

    rows: npt.NDArray[np.int64]
    colours: npt.NDArray[np.float32]
    alphas: npt.NDArray[np.float32]


class Swapper:
    """Puts one identity on the faces of photos.

    Args:
        generator: The trained generator with its embedder; its device is that of all networks.
        detector: Detects the faces.
        segmenter: Segments the crops, for the masks.
        condition: Identity conditioning (D,), from `TrainedGenerator.person_condition`.
        source: The source's crop of the generator's size, for generators that read it.
        only: The people to swap; None swaps every face.
        consent: The people who must not be swapped.
        mask: The part of a face that is replaced.
        strength: Opacity of the swapped face inside the mask, 0 to 1.
        threads: Threads that paste faces into photos.
    """

    def __init__(
        self,
        generator: TrainedGenerator,
        detector: SwapDetector,
        segmenter: Segmenter,
        condition: Tensor,
        *,
        source: SourceFaces | None = None,
        only: ReferencePeople | None = None,
        consent: Consent | None = None,
        mask: MaskKind = "face",
        strength: float = 1.0,
        threads: int = 2,
    ) -> None:
        self.generator, self.detector, self.segmenter, self.condition = generator, detector, segmenter, condition
        self.source = None if source is None else source.to(generator.device)
        self.only, self.consent, self.mask, self.strength = only, consent, mask, strength
        self._registration = registration_of(generator.network)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="paste")

    def __call__(
        self, photos: Sequence[Pixels], smooth: Callable[[Sequence[Pixels], Faces], Faces] | None = None
    ) -> list[SwappedPhoto]:
        """Swap photos, uint8 (H, W, 3) RGB of any sizes; another batch may change the last bits of a result.

        smooth: changes the landmarks of the detected faces, for the frames of a video.
        """
        faces = self.detector(photos)
        if smooth is not None:
            faces = smooth(photos, faces)
        selection = self._select(photos, faces)
        matrices = faces.matrices(self.generator.template)
        crops = self._swap(photos, faces, matrices, np.flatnonzero(selection.faces))
        placements = rescale_matrices(matrices[crops.rows], self.generator.size / self.generator.template.size[0])
        crop_photo = faces.photo[crops.rows]

        def finish(index: int) -> SwappedPhoto:
            rows = crop_photo == index
            face_count, swapped_count = int((faces.photo == index).sum()), int(rows.sum())
            if not swapped_count:
                reason = selection.reasons[index] or (
                    "no face with visible eyes, nose or mouth" if face_count else "no face"
                )
                return SwappedPhoto(photos[index], face_count, 0, reason, bool(selection.refused[index]))
            pixels = paste(photos[index], crops.colours[rows], crops.alphas[rows], placements[rows])
            return SwappedPhoto(pixels, face_count, swapped_count)

        return list(self._threads.map(finish, range(len(photos))))

    def _select(self, photos: Sequence[Pixels], faces: Faces) -> _Selection:
        """Apply `only` and `consent`."""
        selected = np.ones(len(faces), bool)
        reasons = [""] * len(photos)
        refused = np.zeros(len(photos), bool)
        if len(faces) == 0 or (self.only is None and self.consent is None):
            return _Selection(selected, reasons, refused)
        embeddings = faces.embed(photos, self.generator.embedder, self.generator.device).cpu().numpy()
        if self.only is not None:
            selected = self.only.select(embeddings, faces.photo)
            for index in range(len(photos)):
                if not selected[faces.photo == index].any():
                    reasons[index] = self.only.mismatch(embeddings[faces.photo == index])
        if self.consent is not None:
            for row, reason in self.consent.refusals(embeddings, np.flatnonzero(selected)).items():
                index = int(faces.photo[row])
                reasons[index], refused[index] = reason, True
            selected = selected & ~refused[faces.photo]
        return _Selection(selected, reasons, refused)

    @torch.inference_mode()
    def _swap(
        self,
        photos: Sequence[Pixels],
        faces: Faces,
        matrices: npt.NDArray[np.float64],
        rows: npt.NDArray[np.int64],
    ) -> _SwappedCrops:
        """Swap the faces `rows` that have enough visible features. matrices: (K, 2, 3) of all faces."""
        size = self.generator.size
        if not len(rows):
            return _SwappedCrops(rows, np.zeros((0, size, size, 3), np.float32), np.zeros((0, size, size), np.float32))
        template, device = self.generator.template, self.generator.device
        photo_sizes = np.array([photo.shape[:2] for photo in photos], np.int64)[faces.photo[rows]]
        crops = faces.take(rows).crop(photos, template, device)
        inside = torch.from_numpy(inside_photo(matrices[rows], template.size[0], photo_sizes)).to(device)
        labels = self.segmenter.label_maps(crops) * inside  # class 0, background, outside the photo, as in training
        # All faces of a photo divide it among themselves, also those that are not swapped.
        nearest = torch.from_numpy(nearest_face(faces.photo, matrices, template)[rows]).to(device)
        mask = binary_mask(labels, self.mask) & nearest & inside
        features = _FEATURES.to(device)[labels.long()]
        enough = (features & nearest & inside).float().mean((1, 2)) >= _MIN_FEATURE_SHARE
        rows = rows[enough.cpu().numpy()]
        crops, labels, mask, inside = crops[enough], labels[enough], mask[enough], inside[enough]

        target = shrink(crops.float(), size)
        input_masks = self.generator.input_masks(labels, faces.box[rows], matrices[rows])
        points = rescale_points(transform_points(faces.landmarks[rows], matrices[rows]), size / template.size[0])
        landmarks = torch.from_numpy(points.astype(np.float32)).to(device)
        swapped = self.generator.swap(target, self.condition, input_masks, self.source, landmarks)
        if self._registration is not None:
            swapped = 255 * self._registration(swapped / 255, target / 255, landmarks)
        alpha = feather(mask, inside)
        swapped = match_colour(swapped, target, shrink(alpha * (1 - alpha) * inside[:, None], size))
        colours = swapped.permute(0, 2, 3, 1).cpu().numpy()
        return _SwappedCrops(rows, colours, shrink(self.strength * alpha, size)[:, 0].cpu().numpy())
