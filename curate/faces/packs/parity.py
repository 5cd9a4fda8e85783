"""Comparison of a pack's networks in torch with onnxruntime and insightface, on real photos."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files

import cv2
import numpy as np
import numpy.typing as npt
import torch

from curate.counts import counted
from curate.errors import ModelError
from curate.faces.align import Photo
from curate.faces.detectors.scrfd import Scrfd, ScrfdSettings
from curate.faces.faces import Faces
from curate.faces.packs.insightface import locate
from curate.faces.packs.networks import load_arcface
from curate.faces.weights import file_sha256

_SIZE = 640
_THRESHOLD = 0.5
_MAX_CROPS = 16  # of one photo


@dataclass(frozen=True)
class Parity:
    """Comparison of one file: number of faces, largest absolute difference and its limit, both in `unit`."""

    file: str
    sha256: str
    compared: int
    difference: float
    allowed: float
    unit: str

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the limit."""
        return self.difference <= self.allowed

    def __str__(self) -> str:
        verdict = "agrees" if self.agrees else "DIFFERS"
        return (
            f"{self.file}: {verdict}, {self.difference:.2g} {self.unit} at most ({self.allowed:g} allowed) "
            f"over {self.compared} faces; sha256 {self.sha256}"
        )


def verify(name: str, photos: Sequence[Photo] | None = None, device: str | torch.device = "cpu") -> list[Parity]:
    """Compare the pack's detector and embedder with insightface's `SCRFD` and `ArcFaceONNX` in onnxruntime on the CPU.

    Detector: corners, landmarks (px) and scores of all faces at 640 px; a face that only one of them detects is an
    infinite difference. Embedder: components of the unit vectors of the same aligned crops. Ours compute in float32.

    Args:
        name: the pack.
        photos: uint8 (H, W, 3) RGB; None for the photos in insightface's wheel.
        device: where our networks run.

    Returns:
        The comparisons of the detector's and the embedder's file.

    Raises:
        ModelError: the pack is incomplete, or there is no face in the photos.
    """
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX
    from insightface.model_zoo.scrfd import SCRFD
    from insightface.utils.face_align import norm_crop
    from onnxruntime import InferenceSession

    detector_file, embedder_file = locate(name)
    photos = _sample() if photos is None else photos
    cpu = ["CPUExecutionProvider"]

    detector = Scrfd(detector_file, device, ScrfdSettings(10_000, (_SIZE,), _THRESHOLD))
    reference_detector = SCRFD(str(detector_file), session=InferenceSession(str(detector_file), providers=cpu))
    reference_detector.prepare(
        -1, det_thresh=_THRESHOLD, nms_thresh=detector.settings.overlap, input_size=(_SIZE, _SIZE)
    )
    count, difference, crops = 0, 0.0, []
    with _without_tf32():
        ours = detector(photos)
    for index, photo in enumerate(photos):
        faces = ours.in_photo(index)
        bgr = np.ascontiguousarray(photo[..., ::-1])
        boxes, points = reference_detector.detect(bgr, input_size=(_SIZE, _SIZE))
        count += len(boxes)
        difference = max(difference, _difference(faces, boxes, points))
        crops += [norm_crop(bgr, landmark, 112) for landmark in points[:_MAX_CROPS]]
    if not crops:
        raise ModelError(f"{name}: no face found in {counted(len(photos), 'photo')}; use photos that show faces")

    embedder = load_arcface(name, device)
    reference = ArcFaceONNX(str(embedder_file), session=InferenceSession(str(embedder_file), providers=cpu))
    expected = np.concatenate([reference.get_feat(crop) for crop in crops])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    pixels = torch.from_numpy(np.stack(crops)[..., ::-1].copy()).permute(0, 3, 1, 2).to(device)
    with _without_tf32(), torch.inference_mode():
        vectors = embedder(pixels.float() / 255).cpu().numpy()
    distance = float(np.abs(vectors - expected).max())
    return [
        Parity(detector_file.name, file_sha256(detector_file), count, difference, 0.5, "px"),
        Parity(embedder_file.name, file_sha256(embedder_file), len(crops), distance, 2e-5, "of a unit vector"),
    ]


def _difference(ours: Faces, boxes: npt.NDArray[np.float32], points: npt.NDArray[np.float32]) -> float:
    """Largest difference between two lists of faces; each of ours is matched with the nearest unmatched one."""
    if len(ours) != len(boxes):
        return float("inf")
    unmatched, largest = list(range(len(boxes))), 0.0
    for box, landmarks, score in zip(ours.box, ours.landmarks, ours.score, strict=True):
        gaps = [float(np.abs(boxes[index, :4] - box).max()) for index in unmatched]
        nearest = unmatched.pop(int(np.argmin(gaps)))
        largest = max(largest, min(gaps), float(np.abs(points[nearest] - landmarks).max()))
        largest = max(largest, float(abs(boxes[nearest, 4] - score)))
    return largest


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Disable TF32 for convolutions and matrix products on CUDA."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _sample() -> list[Photo]:
    """Photos of faces in insightface's wheel."""
    folder = files("insightface") / "data" / "images"
    photos = []
    for name in ("t1.jpg", "Tom_Hanks_54745.png"):
        image = cv2.imdecode(np.frombuffer((folder / name).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise ModelError(f"{folder / name}: not decodable; reinstall insightface")
        photos.append(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8))
    return photos
