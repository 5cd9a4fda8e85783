"""Generators of other programs as ONNX: a target crop and a latent in, a crop out, as inswapper and its relatives.

Which input is which, and the sizes, follow from the graph. What it does not hold is stated in a TOML file, or in the
metadata that `simswap export` writes:

    onnx = "inswapper_128.onnx"
    embedder = "buffalo_l"       # of the latents: a name, or a file beside this one
    template = "arcface-128"     # alignment of the crops
    input = "rgb01"              # pixel values: rgb01 (0 to 1), rgb11 (-1 to 1) or imagenet (normalised)
    output = "rgb01"
    projection = "buff2fs"       # a matrix in the file by which embeddings are multiplied; left out where there is none
"""

import base64
import importlib.util
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from curate.faces.align import fit, invert, rescale_matrices, warp_crops
from curate.faces.embedder import Embedder
from curate.faces.models import find_embedder, load_embedder
from curate.faces.weights import file_sha256
from manifests.input import readable
from manifests.landmarks import TEMPLATES, Template
from manifests.records import Limits, parse_record
from train.data.crops import CropReader
from train.data.faces import TrainingFaces
from train.data.latents import Latents
from train.errors import CheckpointError
from train.judge.candidate import read_images
from train.judge.pairs import JudgedPairs
from train.networks.face_generator import IMAGENET_MEAN, IMAGENET_STD

_RANGES = {"rgb01": (0.0, 1.0), "rgb11": (0.5, 0.5), "imagenet": (IMAGENET_MEAN, IMAGENET_STD)}
"""Mean and deviation by which RGB in [0, 1] is normalised, for each kind of pixel values."""

_MARGIN = 4  # the crop is extended by a quarter of its side, for templates that reach beyond it
_FEATHER = 0.06  # width of the edge across which the swap fades into the target, in sides of its crop

_CUDA = "CUDAExecutionProvider"

_Range = Annotated[str, Limits(choices=tuple(_RANGES))]


@dataclass(frozen=True)
class OnnxSettings:
    """What the graph of a generator does not hold; see the docstring of the module."""

    onnx: str
    embedder: str
    template: Annotated[str, Limits(choices=tuple(TEMPLATES))]
    input: _Range
    output: _Range
    projection: str = ""


@dataclass(frozen=True)
class OnnxGenerator:
    """A generator that onnxruntime runs.

    Attributes:
        path: the ONNX file.
        sha256: of that file.
        session: onnxruntime's, of one target and one latent at a time where the graph fixes the number.
        target, latent: names of the inputs.
        size: side of its crops, px.
        batched: whether the number of images is free.
        template: alignment of its crops.
        embedder: of its latents.
        input, output: pixel values, keys of `_RANGES`.
        projection: (D, D) by which embeddings are multiplied, or None.
        centre: (D,) that is subtracted from embeddings, zeros for generators of other programs.
    """

    path: Path
    sha256: str
    session: Any
    target: str
    latent: str
    size: int
    batched: bool
    template: Template
    embedder: Embedder
    input: str
    output: str
    projection: npt.NDArray[np.float32] | None
    centre: npt.NDArray[np.float32]

    @property
    def uses_gpu(self) -> bool:
        """Whether onnxruntime runs it on a GPU, for which its package onnxruntime-gpu is needed."""
        return _CUDA in self.session.get_providers()

    def generate(self, rgb01: npt.NDArray[np.float32], embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Swap crops (B, 3, S, S), RGB in [0, 1], to the identities of embeddings (B, D); the result is clipped."""
        latents = embeddings - self.centre
        if self.projection is not None:
            latents = latents @ self.projection
        latents = latents / np.linalg.norm(latents, axis=1, keepdims=True)
        target = (rgb01 - _shift(self.input)) / _scale(self.input)
        step = len(target) if self.batched else 1
        parts = [
            self.session.run(None, {self.target: target[at : at + step], self.latent: latents[at : at + step]})[0]
            for at in range(0, len(target), step)
        ]
        image = np.concatenate(parts) * _scale(self.output) + _shift(self.output)
        return np.asarray(image.clip(0, 1), np.float32)


class OnnxCandidate:
    """An ONNX generator under evaluation.

    Its crops are cut from those of the dataset, and put back with a soft edge where the two alignments differ.

    Args:
        generator: the generator.
        latents: (M, D), of the judged faces, by its embedder.
        faces: the judged faces.
        template: name of the template of their crops.
    """

    def __init__(self, generator: OnnxGenerator, latents: Latents, faces: TrainingFaces, template: str) -> None:
        self.generator, self.latents, self.faces = generator, latents, faces
        self._aligned = generator.template.name == template
        self._reader = CropReader(faces, generator.size if self._aligned else faces.side)

    def swap(self, pairs: JudgedPairs) -> Tensor:
        embeddings = pairs.source_means(self.latents)
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        crops = read_images(self._reader, pairs.targets)
        if self._aligned:
            return torch.from_numpy(self.generator.generate(crops.contiguous().numpy(), embeddings))
        size, side = self.generator.size, self.faces.side
        margin = side // _MARGIN
        padded = F.pad(crops, (margin,) * 4, mode="replicate")
        points = self.faces.points[pairs.targets].astype(np.float64) + margin
        matrices = rescale_matrices(fit(points, self.generator.template)[0], size / self.generator.template.size[0])
        own = warp_crops(padded, torch.from_numpy(matrices), (size, size))
        swapped = torch.from_numpy(self.generator.generate(own.contiguous().numpy(), embeddings))
        edge = torch.arange(size).add(0.5).minimum(size - torch.arange(size).add(0.5)) / (_FEATHER * size)
        alpha = torch.minimum(edge[:, None], edge).clamp(0, 1).expand(len(swapped), 1, -1, -1)
        back = torch.from_numpy(invert(matrices))
        placed = warp_crops(torch.cat([swapped * alpha, alpha], 1), back, padded.shape[2:])  # type: ignore[arg-type]
        inside = slice(margin, margin + side)
        colour, cover = placed[:, :3, inside, inside], placed[:, 3:, inside, inside]
        return crops * (1 - cover) + colour

    def close(self) -> None:
        """Nothing to stop."""


def load_onnx(path: Path, device: str = "cpu", embedder: str | Path | None = None) -> OnnxGenerator:
    """Load an ONNX generator, or the one that a TOML file describes.

    Args:
        path: .onnx with the metadata of `simswap export`, or .toml.
        device: "cpu", "cuda", ...
        embedder: name or file of the embedder of an export; None searches for it by its id.

    Raises:
        CheckpointError: not an ONNX file of a generator, something is not stated, or onnxruntime is not installed.
        ModelError: the embedder is not on this machine.
    """
    if path.suffix == ".toml":
        settings = _read_settings(path)
        file = path.parent / settings.onnx
        beside = path.parent / settings.embedder
        named = load_embedder(beside if beside.is_file() else settings.embedder, device)
        return _load(file, device, named, settings, None)
    session = _open(path, device)
    metadata = session.get_modelmeta().custom_metadata_map
    if "swapset.embedder_id" not in metadata:
        raise CheckpointError(
            f"{path} states neither embedder nor alignment nor pixel values: describe it in a TOML file with the keys "
            f"onnx = {path.name!r}, embedder, template, input and output, and give that file"
        )
    of_latents = find_embedder(metadata["swapset.embedder_id"], f"generator {path}", device, embedder)
    settings = OnnxSettings(path.name, of_latents.name, metadata["swapset.template"], "rgb01", "rgb01")
    centre = np.frombuffer(base64.b64decode(metadata["swapset.centre"]), "<f4")
    return _load(path, device, of_latents, settings, centre)


def _load(
    path: Path, device: str, embedder: Embedder, settings: OnnxSettings, centre: npt.NDArray[np.float32] | None
) -> OnnxGenerator:
    session = _open(path, device)
    inputs = {len(entry.shape): entry for entry in session.get_inputs()}
    shapes = ", ".join(f"{entry.name} {entry.shape}" for entry in session.get_inputs())
    if len(session.get_inputs()) != 2 or set(inputs) != {4, 2}:
        raise CheckpointError(
            f"{path} has the inputs {shapes}: a generator has two, an image (N, 3, S, S) and a latent (N, D)"
        )
    size, dim = inputs[4].shape[-1], inputs[2].shape[-1]
    if not isinstance(size, int) or inputs[4].shape[1:] != [3, size, size] or dim != embedder.dim:
        raise CheckpointError(
            f"{path} has the inputs {shapes}, and embedder {embedder.name} gives {embedder.dim} numbers: an image "
            "(N, 3, S, S) of fixed size and a latent of that many are needed; judge a generator that reads the "
            "source's photo too, as those of recipe general, by its checkpoint"
        )
    return OnnxGenerator(
        path=path,
        sha256=file_sha256(path),
        session=session,
        target=inputs[4].name,
        latent=inputs[2].name,
        size=size,
        batched=not isinstance(inputs[4].shape[0], int) and not isinstance(inputs[2].shape[0], int),
        template=TEMPLATES[settings.template],
        embedder=embedder,
        input=settings.input,
        output=settings.output,
        projection=_projection(path, settings.projection, dim),
        centre=np.zeros(dim, np.float32) if centre is None else centre.astype(np.float32),
    )


def _projection(path: Path, name: str, dim: int) -> npt.NDArray[np.float32] | None:
    """The matrix (D, D) of that name. Raises CheckpointError: it is missing, or the file has one that is not named."""
    import onnx

    graph = onnx.load(str(path)).graph
    matrices = {tensor.name: tensor for tensor in graph.initializer if list(tensor.dims) == [dim, dim]}
    if name:
        if name not in matrices:
            raise CheckpointError(
                f"{path} has no {dim} x {dim} matrix {name!r} (projection): it has {', '.join(matrices) or 'none'}"
            )
        return np.asarray(onnx.numpy_helper.to_array(matrices[name]), np.float32)
    used = {entry for node in graph.node for entry in node.input}
    if unused := sorted(matrices.keys() - used):
        raise CheckpointError(
            f"{path} holds a {dim} x {dim} matrix that its graph does not use, {unused[0]!r}: embeddings are to be "
            f'multiplied by it; set projection = "{unused[0]}"'
        )
    return None


def _open(path: Path, device: str) -> Any:
    if importlib.util.find_spec("onnxruntime") is None:
        raise CheckpointError(f"{path}: ONNX generators are run by onnxruntime: pip install 'swapset[onnx]'")
    import onnxruntime

    if not path.is_file():
        raise CheckpointError(f"{path}: no such generator")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.startswith("cuda") and _CUDA in onnxruntime.get_available_providers():
        providers.insert(0, (_CUDA, {"device_id": torch.device(device).index or 0}))
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        # onnxruntime's errors have no common type but Exception.
        raise CheckpointError(f"{path} is not an ONNX model that onnxruntime loads: {_line(error)}") from error


def _read_settings(path: Path) -> OnnxSettings:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with readable(path, CheckpointError):
            return parse_record(json.dumps(tomllib.loads(path.read_text(encoding="utf-8"))), OnnxSettings)
    except (ValueError, RecursionError) as error:  # also errors of UTF-8, TOML and `parse_record`
        raise CheckpointError(
            f"{path} does not describe an ONNX generator ({error}): its keys are onnx, embedder, template, input, "
            "output and projection"
        ) from error


def _shift(pixels: str) -> npt.NDArray[np.float32]:
    return np.asarray(_RANGES[pixels][0], np.float32).reshape(-1, 1, 1)


def _scale(pixels: str) -> npt.NDArray[np.float32]:
    return np.asarray(_RANGES[pixels][1], np.float32).reshape(-1, 1, 1)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
