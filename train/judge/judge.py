"""A judge: an embedder, independent of the trainings where possible, which measures whose face a swap shows.

It embeds every face from the generator's crop, aligned by the target's landmarks; source photos as the dataset
has them. Where the norm of the mean embedding of many people is large, it is subtracted
(`train.data.latents.latent_centre`).
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from curate.errors import ModelError
from curate.faces.align import fit, warp_crops
from curate.faces.embedder import Embedder
from curate.faces.models import embedder_file, embedder_ids, embedders_of, load_embedder
from curate.faces.packs.insightface import PACKS
from curate.faces.weights import file_sha256
from curate.listener import Listener
from manifests.reader import Dataset
from train.data.faces import TrainingFaces
from train.data.latents import Latents, latent_centre, read_latents
from train.networks.conditioning import identity_conditioning

CENTRE_MIN_NORM = 0.5
"""The judge's mean embedding is subtracted where its norm is over this, as in training (`Recipe.centre_above`)."""

_CENTRE_PEOPLE = 500


@dataclass(frozen=True)
class JudgeEmbedder:
    """An embedder that judges.

    Attributes:
        embedder: the network.
        independent: no candidate was trained against it.
        sha256: of its file.
        name: unique among the judges of an evaluation.
    """

    embedder: Embedder
    independent: bool
    sha256: str
    name: str

    @classmethod
    def load(cls, name: str | Path, trained: Container[str]) -> "JudgeEmbedder":
        """Load an embedder by name or file. trained: ids of the embedders that candidates were trained against."""
        embedder = load_embedder(name)
        independent = embedder.embedder_id not in trained
        return cls(embedder, independent, file_sha256(embedder_file(name)), embedder.name)

    def __str__(self) -> str:
        name = f"{self.name} ({self.embedder.embedder_id})"
        if self.independent:
            return f"{name}, independent: no candidate was trained against it"
        return (
            f"{name}, NOT INDEPENDENT: a candidate was trained against it, so that identity scores are optimistic; "
            "name another embedder with --judge"
        )


@dataclass(frozen=True)
class Judge:
    """An embedder, and its embeddings of the faces that are judged on.

    Attributes:
        chosen: the embedder.
        photos: (M, D) of unit norm, `centre` subtracted, row for row as the judged faces.
        centre: (D,), the mean embedding; zeros where it is not subtracted.
    """

    chosen: JudgeEmbedder
    photos: Tensor
    centre: Tensor

    @classmethod
    def create(cls, chosen: JudgeEmbedder, latents: Latents, people: Latents, device: str) -> "Judge":
        """Move the embedder to `device`.

        Args:
            chosen: the embedder.
            latents: (M, D), the embedder's, of the judged faces.
            people: (P, D), the embedder's, one face of each of many people, for the centre.
            device: of the embedder.
        """
        centre = torch.from_numpy(latent_centre(people, CENTRE_MIN_NORM)).to(device)
        embeddings = torch.from_numpy(np.asarray(latents, np.float32)).to(device)
        chosen.embedder.to(device)
        return cls(chosen, identity_conditioning(embeddings, centre), centre)

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


def choose_embedders(dataset: Dataset, trained: set[str], names: Sequence[str] = ()) -> list[JudgeEmbedder]:
    """Choose the embedders that judge, the first of which is that of tables and plots.

    Args:
        dataset: its embedders are candidates.
        trained: ids of the embedders that generators were trained against.
        names: names or files of embedders; empty takes the first that is on this machine and not in `trained`, in the
            order built in, the dataset's, packs. Where there is none, the first on this machine.

    Raises:
        ModelError: a name is unknown or not on this machine, or two of them are the same embedder.
    """
    if not names:
        ids = embedder_ids(["builtin", *dataset_embedders(dataset), *PACKS])
        independent = [choice for choice, embedder_id in ids.items() if embedder_id not in trained]
        return [JudgeEmbedder.load((independent or list(ids))[0], trained)]
    judges = [JudgeEmbedder.load(name, trained) for name in names]
    ids_of = [judge.embedder.embedder_id for judge in judges]
    for number, judge in enumerate(judges):
        if ids_of.index(judge.embedder.embedder_id) < number:
            raise ModelError(f"--judge {names[number]}: it is the same embedder as another judge; give it once")
    kinds = [judge.name for judge in judges]
    return [
        replace(judge, name=f"{judge.name} {judge.embedder.embedder_id}") if kinds.count(judge.name) > 1 else judge
        for judge in judges
    ]


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
        device: of the embedder.
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
