"""Photos or frames -> the same with the source's identity on their faces, all faces of a batch at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.faces.align import rescale_matrices
from curate.faces.faces import Faces
from curate.faces.segment import CLASSES, MaskKind, Segmenter, binary_mask
from train.swap.consent import Consent
from train.swap.faces import FaceFinder
from train.swap.paste import inside_photo, match_colour, own_side, paste, soften
from train.swap.person import Person
from train.trained import SwapModel, shrink

Pixels = npt.NDArray[np.uint8]

_FEATURES = torch.tensor(
    [name in {"nose", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip"} for name in CLASSES]
)
_LEAST = 0.015
"""Share of the crop that eyes, brows, nose and mouth must cover: they do 3 to 10%, hands taken for faces under 1.5%."""


@dataclass(frozen=True)
class Swapped:
    """`pixels`: uint8 (H, W, 3), the photo itself where nothing was swapped. `faces`: how many were found, `swapped`:
    how many of them now have the source's identity. `reason`: why none has, "" where one has. `refused`: the reason
    is that somebody in it must not be swapped."""

    pixels: Pixels
    faces: int
    swapped: int
    reason: str = ""
    refused: bool = False


class Swapper:
    """One identity, ready to be put on faces.

    latent: (D,), as `SwapModel.latent` gives it. only: swap nobody but this person. consent: who must not be swapped.
    mask: which part of a face is replaced.
    """

    def __init__(
        self,
        model: SwapModel,
        finder: FaceFinder,
        segmenter: Segmenter,
        latent: Tensor,
        *,
        only: Person | None = None,
        consent: Consent | None = None,
        mask: MaskKind = "face",
        threads: int = 2,
    ) -> None:
        self.model, self.finder, self.segmenter, self.latent = model, finder, segmenter, latent
        self.only, self.consent, self.mask = only, consent, mask
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="paste")

    def __call__(self, photos: Sequence[Pixels]) -> list[Swapped]:
        """Photos uint8 (H, W, 3) RGB of any sizes -> one Swapped each, in order, independent of one another."""
        faces = self.finder(photos)
        chosen, reasons, refused = self._choose(photos, faces)
        alphas = np.zeros((0, self.model.size, self.model.size), np.float32)
        colours = np.zeros((*alphas.shape, 3), np.float32)
        rows = np.flatnonzero(chosen)
        if len(rows):
            rows, colours, alphas = self._swap(photos, faces, rows)
        matrix = faces.matrices(self.finder.template)
        matrices = rescale_matrices(matrix[rows], self.model.size / self.finder.template.size[0])

        def finish(index: int) -> Swapped:
            mine = faces.photo[rows] == index
            found, done = int((faces.photo == index).sum()), int(mine.sum())
            if not done:
                reason = reasons[index] or ("no face" if not found else "no face with eyes, nose or mouth to be seen")
                return Swapped(photos[index], found, 0, reason, bool(refused[index]))
            return Swapped(paste(photos[index], colours[mine], alphas[mine], matrices[mine]), found, done)

        return list(self._threads.map(finish, range(len(photos))))

    def _choose(
        self, photos: Sequence[Pixels], faces: Faces
    ) -> tuple[npt.NDArray[np.bool_], list[str], npt.NDArray[np.bool_]]:
        """Which faces (K,) to swap; of each photo why none of its faces is, and whether that is a refusal (P,)."""
        chosen = np.ones(len(faces), bool)
        reasons = [""] * len(photos)
        refused = np.zeros(len(photos), bool)
        if len(faces) == 0 or (self.only is None and self.consent is None):
            return chosen, reasons, refused
        vectors = faces.embed(photos, self.model.embedder, self.finder.device).cpu().numpy()
        if self.only is not None:
            chosen = self.only.chosen(vectors, faces.photo)
            for index in range(len(photos)):
                if not chosen[faces.photo == index].any():
                    reasons[index] = self.only.missing(vectors[faces.photo == index])
        if self.consent is not None:
            for row, words in self.consent.refusals(vectors, np.flatnonzero(chosen)).items():
                index = int(faces.photo[row])
                reasons[index], refused[index] = words, True
            chosen = chosen & ~refused[faces.photo]
        return chosen, reasons, refused

    @torch.inference_mode()
    def _swap(
        self, photos: Sequence[Pixels], faces: Faces, rows: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The rows with enough face to be swapped, their colours (K, S, S, 3) 0 to 255 and alphas (K, S, S)."""
        sizes = np.array([photo.shape[:2] for photo in photos], np.int64)[faces.photo[rows]]
        side, size = self.finder.template.size[0], self.model.size
        crops = faces.take(rows).crop(photos, self.finder.template, self.finder.device)
        matrix = faces.matrices(self.finder.template)
        labels = self.segmenter.label_maps(crops)
        # Every face of the photo has its side, also one that stays as it is.
        own = torch.from_numpy(own_side(faces.photo, matrix, self.finder.template)[rows]).to(labels.device)
        inside = torch.from_numpy(inside_photo(matrix[rows], side, sizes)).to(labels.device)
        mask = binary_mask(labels, self.mask) & own & inside
        features = _FEATURES.to(labels.device)[labels.long()]
        enough = (features & own & inside).float().mean((1, 2)) >= _LEAST
        kept = enough.cpu().numpy()
        rows, crops, labels, mask, inside = rows[kept], crops[enough], labels[enough], mask[enough], inside[enough]

        target = shrink(crops.float(), size)
        shown = self.model.input_masks(labels, faces.box[rows], matrix[rows])
        swapped = self.model.swap(target, self.latent, shown)
        soft = soften(mask, inside)
        swapped = match_colour(swapped, target, shrink(soft * (1 - soft) * inside[:, None], size))
        alpha = shrink(soft, size)
        return rows, swapped.permute(0, 2, 3, 1).cpu().numpy(), alpha[:, 0].cpu().numpy()
