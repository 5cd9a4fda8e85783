"""The table of weights: name -> file, hash, licence, preprocessing, and the calibration of an embedder's similarities.

Nothing about a model is inferred from tensor shapes. To add a model, `register` one `Weights`; the tests run over the
whole table.
"""

import functools
import hashlib
import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from curate.errors import ModelError
from manifests.landmarks import TEMPLATES

Task = Literal["embedding", "detection", "segmentation"]

RESIZE = "similarity warp; mean over the whole part of the shrinkage, then bilinear"
"""How `align.warp` resamples; part of an embedder's id."""


@dataclass(frozen=True)
class Calibration:
    """Cosine similarities (-1..1) of pairs of photos of the same person and of different persons.

    Attributes:
        same_mean, same_std: mean and standard deviation over pairs of the same person.
        different_mean, different_std: the same over pairs of different persons.
        far_1e2, far_1e3, far_1e4: similarity that 1 in 100, 1,000 and 10,000 pairs of different persons exceed.
        equal_error: threshold at which the false accept rate equals the false reject rate.
        measured_on: description of the pairs.
    """

    same_mean: float
    same_std: float
    different_mean: float
    different_std: float
    far_1e2: float
    far_1e3: float
    far_1e4: float
    equal_error: float
    measured_on: str


@dataclass(frozen=True)
class Weights:
    """One file of weights and its preprocessing: input = (pixel - mean) / std with pixels 0..255.

    Attributes:
        name: key in `REGISTRY`.
        task: what the network computes.
        file: path relative to the folder of `package`, or to the model folder (`models_folder`) if `package` is None.
        package: the installed package that contains the file.
        sha256: of the file; None where the table does not pin it and its loader does (insightface packs).
        licence: what the weights may be used for.
        source: paper or page.
        size: (height, width) of the input; None for any.
        mean, std: of pixels 0..255, in the order of `channels`.
        channels: channel order of the input.
        url: where the file can be downloaded.
        template: alignment of the crops, a key of `manifests.landmarks.TEMPLATES`.
        flip: whether an embedding is the mean of the crop's and the mirrored crop's.
        calibration: of an embedder's similarities.
    """

    name: str
    task: Task
    file: str
    package: str | None
    sha256: str | None
    licence: str
    source: str
    size: tuple[int, int] | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: Literal["RGB", "BGR"] = "RGB"
    url: str | None = None
    template: str | None = None
    flip: bool = False
    calibration: Calibration | None = None


# insightface's rule of thumb is "same person above .3". The distributions are those of ArcFace networks of this kind on
# web photos; they are not measured on files whose licence keeps them off the test machines.
ASSUMED_ARCFACE = Calibration(
    same_mean=0.60, same_std=0.14, different_mean=0.02, different_std=0.07, far_1e2=0.18, far_1e3=0.24, far_1e4=0.29,
    equal_error=0.22, measured_on="assumed, not measured: typical of ArcFace on web photos",
)  # fmt: skip

REGISTRY: dict[str, Weights] = {}


def register(weights: Weights) -> Weights:
    """Add an entry to `REGISTRY` and return it. Raises ValueError for a name that is taken."""
    if weights.name in REGISTRY:
        raise ValueError(f"weights {weights.name!r} are registered twice; rename one of them")
    REGISTRY[weights.name] = weights
    return weights


def models_folder() -> Path:
    """Folder of the model files that no package contains: $SWAPSET_MODELS, else ~/.insightface/models."""
    folder = os.environ.get("SWAPSET_MODELS")
    return Path(folder) if folder else Path.home() / ".insightface" / "models"


def place(weights: Weights) -> Path:
    """Path of the file of `weights`, whether it exists or not. Raises ModelError if its package is not installed.

    The package is not imported: importing face_recognition_models needs an old setuptools.
    """
    if weights.package is None:
        return models_folder() / weights.file
    spec = importlib.util.find_spec(weights.package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"{weights.name}: the package {weights.package!r} that contains {weights.file} is not installed; "
            "reinstall swapset with its dependencies"
        )
    return Path(next(iter(spec.submodule_search_locations))) / weights.file


def locate(weights: Weights) -> Path:
    """Path of the file of `weights`. Raises ModelError if it is missing or its sha256 is not the recorded one.

    A file is hashed once per process, and again when its size or modification time changes.
    """
    path = place(weights)
    if not path.is_file():
        advice = f"download it from {weights.url}" if weights.url else "reinstall the package that contains it"
        if weights.package is None:
            advice += " (the model folder is $SWAPSET_MODELS, else ~/.insightface/models)"
        raise ModelError(f"{weights.name}: {path} does not exist; {advice}")
    if weights.sha256 is not None:
        sha256 = file_sha256(path)
        if sha256 != weights.sha256:
            raise ModelError(
                f"{weights.name}: {path} has sha256 {sha256}, but {weights.sha256} is recorded; "
                "the file is damaged or another version: remove it and install it again"
            )
    return path


def file_sha256(path: Path) -> str:
    """sha256 of a file, 64 hex digits; cached per process by path, size and modification time."""
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns)


def embedder_id(weights: Weights, sha256: str) -> str:
    """Id of an embedder, 16 hex digits: embeddings may be compared only where it is equal.

    The first digits of the sha256 of a JSON object without spaces and with sorted keys: channels, flip, mean, resize,
    std, template (its points, rounded to 1e-4 px, and its size) and weights (the file's sha256).
    """
    template = TEMPLATES[weights.template or ""]
    preprocessing = {
        "channels": weights.channels,
        "flip": weights.flip,
        "mean": weights.mean,
        "resize": RESIZE,
        "std": weights.std,
        "template": {"points": template.points.round(4).tolist(), "size": template.size},
        "weights": sha256,
    }
    canonical = json.dumps(preprocessing, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@functools.cache
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


_MTCNN_SHA256 = {
    "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}

MTCNN_PNET, MTCNN_RNET, MTCNN_ONET = (
    register(
        Weights(
            name=f"mtcnn-{stage}",
            task="detection",
            file=f"data/{stage}.pt",
            package="facenet_pytorch",
            sha256=_MTCNN_SHA256[stage],
            licence="MIT (facenet-pytorch)",
            source="Zhang et al. 2016, MTCNN, arxiv.org/abs/1604.02878; github.com/timesler/facenet-pytorch",
            size=size,
            mean=(127.5, 127.5, 127.5),
            std=(128.0, 128.0, 128.0),
        )
    )
    for stage, size in (("pnet", None), ("rnet", (24, 24)), ("onet", (48, 48)))
)

_MEASURED_ON = "792 photos of 198 people of lfw-gray, 382 of 16 of celebs-112; pairs within each"

DLIB_RESNET = register(
    Weights(
        name="dlib-resnet",
        task="embedding",
        file="models/dlib_face_recognition_resnet_model_v1.dat",
        package="face_recognition_models",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        licence="CC0 1.0",
        source="King 2017, blog.dlib.net/2017/02/high-quality-face-recognition-with-deep.html",
        size=(150, 150),
        mean=(122.782, 117.001, 104.298),
        std=(256.0, 256.0, 256.0),
        template="dlib-150",
        flip=True,
        calibration=Calibration(
            same_mean=0.9476,
            same_std=0.0196,
            different_mean=0.8494,
            different_std=0.0335,
            far_1e2=0.9184,
            far_1e3=0.9339,
            far_1e4=0.9441,
            equal_error=0.907,
            measured_on=_MEASURED_ON,
        ),
    )
)

MOBILEFACENET = register(
    Weights(
        name="mobilefacenet",
        task="embedding",
        file="mobilefacenet-casia.ckpt",
        package=None,
        sha256="e839247cdbdfc023fb7cadeaf53a4549d50c8fc24ad154c02e35920ea8910d99",
        licence="not redistributable: supply your own file",
        source="Chen et al. 2018, MobileFaceNets, arxiv.org/abs/1804.07573; trained on CASIA-WebFace",
        size=(112, 96),
        mean=(127.5, 127.5, 127.5),
        std=(128.0, 128.0, 128.0),
        template="arcface-112x96",
        flip=True,
        calibration=Calibration(
            same_mean=0.5608,
            same_std=0.1667,
            different_mean=0.0277,
            different_std=0.1128,
            far_1e2=0.3223,
            far_1e3=0.4352,
            far_1e4=0.514,
            equal_error=0.234,
            measured_on=_MEASURED_ON,
        ),
    )
)

SIMSWAP_ARCFACE = register(
    Weights(
        name="simswap-arcface",
        task="embedding",
        file="simswap/arcface.pth",
        package=None,
        sha256=None,
        licence="that of the published SimSwap: non-commercial research only; supply your own file",
        source="Deng et al. 2019, ArcFace, arxiv.org/abs/1801.07698; IR-SE-101, published with SimSwap",
        size=(112, 112),
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        template="simswap-112",
        calibration=ASSUMED_ARCFACE,
    )
)

SEGMENTER = register(
    Weights(
        name="segmenter",
        task="segmentation",
        file="weights/segmenter.safetensors",
        package="curate",
        sha256="e5c2c168542e5d2ac878c99510da0481b06eeb3dbaecddfd1097e658c71acf52",
        licence="research use only (trained on CelebAMask-HQ)",
        source="Chen et al. 2018, DeepLabV3+, arxiv.org/abs/1802.02611; trained by train/perception/segmenter.py",
        size=None,
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
    )
)
