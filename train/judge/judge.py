"""The judge: an embedder, independent of the training where possible, and a detector, which measure swaps.

The judge embeds every face from the generator's crop, aligned by the target's landmarks; source photos as the dataset
has them. Where the norm of the mean embedding of many people is large, it is subtracted
(`train.data.latents.latent_centre`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.faces.align import fit, warp_crops
from curate.faces.detectors.mtcnn import Mtcnn, MtcnnSettings
from curate.faces.embedder import Embedder
from curate.faces.models import embedder_ids, embedders_of, load_embedder
from curate.faces.packs.insightface import PACKS
from curate.listener import Listener
from manifests.reader import Dataset
from train.data.faces import TrainingFaces
from train.data.latents import Latents, latent_centre, read_latents
from train.networks.conditioning import identity_conditioning

Pixels = npt.NDArray[np.uint8]

CENTRE_MIN_NORM = 0.5
"""The judge's mean embedding is subtracted where its norm is over this, as in training (`Recipe.centre_above`)."""

_CENTRE_PEOPLE = 500


@dataclass(frozen=True)
class JudgeEmbedder:
    """The embedder that judges. independent: no checkpoint was trained against it."""

    embedder: Embedder
    independent: bool

    def __str__(self) -> str:
        name = f"{self.embedder.name} ({self.embedder.embedder_id})"
        if self.independent:
            return f"{name}, independent: no checkpoint was trained against it"
        return (
            f"{name}, NOT INDEPENDENT: a checkpoint was trained against it, so that identity scores are optimistic; "
            "name another embedder with --judge"
        )


@dataclass(frozen=True)
class Judge:
    """The models that measure swaps, and the embeddings of the faces that are judged on.

    Attributes:
        chosen: the embedder.
        detector: returns the largest face of an image.
        gallery: (M, D) of unit norm, `centre` subtracted, row for row as the judged faces.
        centre: (D,), the mean embedding; zeros where it is not subtracted.
    """

    chosen: JudgeEmbedder
    detector: Mtcnn
    gallery: Tensor
    centre: Tensor

    @classmethod
    def create(cls, chosen: JudgeEmbedder, latents: Latents, people: Latents, device: str) -> "Judge":
        """Move the embedder to `device` and load a detector.

        Args:
            chosen: the embedder.
            latents: (M, D), the embedder's, of the judged faces.
            people: (P, D), the embedder's, one face of each of many people, for the centre.
            device: of all models.
        """
        centre = torch.from_numpy(latent_centre(people, CENTRE_MIN_NORM)).to(device)
        embeddings = torch.from_numpy(np.asarray(latents, np.float32)).to(device)
        chosen.embedder.to(device)
        return cls(chosen, Mtcnn(device, MtcnnSettings(max_faces=1)), identity_conditioning(embeddings, centre), centre)

    @torch.inference_mode()
    def embed(self, images: Tensor, landmarks: npt.NDArray[np.float64]) -> Tensor:
        """Embed crops: (B, D) of unit norm, `centre` subtracted.

        Args:
            images: (B, 3, S, S), RGB in [0, 1].
            landmarks: (B, 5, 2), px of the crop.
        """
        embedder = self.chosen.embedder
        matrices = torch.from_numpy(fit(landmarks, embedder.template)[0]).to(images.device)
        chips = warp_crops(images * 255, matrices, embedder.template.size).round().to(torch.uint8)
        return identity_conditioning(embedder.embed(chips), self.centre)

    def detect(self, images: Tensor) -> Tensor:
        """Detect the largest face of each image, RGB in [0, 1] (B, 3, S, S): landmarks (B, 5, 2), NaN without one."""
        landmarks = np.full((len(images), 5, 2), np.nan, np.float32)
        faces = self.detector(list(to_pixels(images))).largest()
        landmarks[faces.photo] = faces.landmarks
        return torch.from_numpy(landmarks).to(images.device)


def choose_embedder(dataset: Dataset, trained: set[str], name: str | None = None) -> JudgeEmbedder:
    """Choose the embedder that judges.

    Args:
        dataset: its embedders are candidates.
        trained: ids of the embedders that checkpoints were trained against.
        name: name or file of the embedder; None takes the first that is on this machine and not in `trained`, in the
            order built in, the dataset's, packs. Where there is none, the first on this machine.

    Raises:
        ModelError: `name` is unknown or not on this machine.
    """
    if name is not None:
        embedder = load_embedder(name)
        return JudgeEmbedder(embedder, embedder.embedder_id not in trained)
    ids = embedder_ids(["builtin", *dataset_embedders(dataset), *PACKS])
    independent = [choice for choice, embedder_id in ids.items() if embedder_id not in trained]
    return JudgeEmbedder(load_embedder((independent or list(ids))[0]), bool(independent))


def create_judge(
    chosen: JudgeEmbedder,
    dataset: Dataset,
    faces: TrainingFaces,
    judged: TrainingFaces,
    device: str,
    cache: Path,
    listener: Listener,
) -> Judge:
    """Read or compute the judge's embeddings of the judged faces, and its centre.

    Args:
        chosen: the embedder.
        dataset: the dataset of the faces.
        faces: all of its faces, for the centre: computed from few held-out people alone, it would be so close to each
            of them that any image without a face would be closer to the source than the target is.
        judged: the faces that are judged on.
        device: of all models.
        cache: folder of embeddings that are computed.
        listener: receives the progress of embeddings that are computed.
    """
    people = np.unique(np.linspace(0, len(faces.people) - 1, _CENTRE_PEOPLE).astype(np.int64))
    one_per_person = faces.take(faces.first[people])
    embedder = chosen.embedder.to(device)
    latents, of_people = (read_latents(dataset, part, embedder, cache, listener) for part in (judged, one_per_person))
    return Judge.create(chosen, latents, of_people, device)


def dataset_embedders(dataset: Dataset) -> list[str]:
    """Names or files of the embedders that a dataset, or the parts of a merged one, were measured with."""
    infos = [Dataset.open(path).info for path in dataset.parts.values()] or [dataset.info]
    return [name for info in infos for name in embedders_of(info)]


def to_pixels(images: Tensor) -> Pixels:
    """RGB in [0, 1] (B, 3, S, S) -> uint8 (B, S, S, 3)."""
    pixels: Pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return pixels
