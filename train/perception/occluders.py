"""Occluders: things drawn over faces in photos with label maps, so that the segmenter learns to leave them out.

Hair and hats are copied from other training photos; hands, caps, sunglasses, face masks, microphones and other objects
are drawn, with the colours and textures of training photos. Hands, microphones and objects become `background`, as
CelebAMask-HQ labels what covers a face; face masks become `cloth`. To add one: a function here, an entry in
`OCCLUDERS`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from manifests.landmarks import FACE_CLASSES, MASK_CLASSES

Images = npt.NDArray[np.uint8]
Layer = npt.NDArray[np.float32]
Rng = np.random.Generator

BACKGROUND, SKIN, GLASSES, HAIR, HAT, CLOTH = (
    MASK_CLASSES.index(name) for name in ("background", "skin", "glasses", "hair", "hat", "cloth")
)
_FACE = np.isin(np.arange(256), [MASK_CLASSES.index(name) for name in FACE_CLASSES])
_MIN_SHARE = 0.02  # of the photo: hats and hair that are copied


@dataclass(frozen=True)
class FaceFrame:
    """Where a face is in its label map: the middle of its eyes, its mouth's height, and its box, in px."""

    x: float
    eyes_y: float
    mouth_y: float
    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return max(8, self.right - self.left)

    @property
    def height(self) -> int:
        return max(8, self.bottom - self.top)


def face_frame(labels: Images) -> FaceFrame | None:
    """Locate the face in a label map (T, T); None where there is none."""
    rows, columns = np.nonzero(_FACE[labels])
    if len(rows) < labels.size // 100:
        return None
    left, right, top, bottom = int(columns.min()), int(columns.max()), int(rows.min()), int(rows.max())
    centres: list[tuple[float, float]] = []
    for names, height in ((("l_eye", "r_eye", "glasses"), 0.38), (("mouth", "u_lip", "l_lip"), 0.78)):
        y, x = np.nonzero(np.isin(labels, [MASK_CLASSES.index(name) for name in names]))
        usual = (left + right) / 2, top + height * (bottom - top)
        centres.append((float(x.mean()), float(y.mean())) if len(y) else usual)
    (middle, eyes_y), (_, mouth_y) = centres
    return FaceFrame(middle, eyes_y, max(mouth_y, eyes_y + 4), left, top, right, bottom)


class Occluders:
    """Draws occluders with the material of a training set.

    Args:
        images: uint8 (N, T, T, 3), RGB.
        labels: uint8 (N, T, T).
    """

    def __init__(self, images: Images, labels: Images) -> None:
        self.images, self.labels = images, labels
        self.frames = [face_frame(label) for label in labels]
        shares = np.stack([(labels == value).mean((1, 2)) for value in (HAIR, HAT, SKIN)])
        framed = np.array([frame is not None for frame in self.frames])
        self.with_hair, self.with_hat, self.with_skin = (np.flatnonzero((s > _MIN_SHARE) & framed) for s in shares)

    def paste(self, image: Images, labels: Images, frame: FaceFrame, rng: Rng) -> tuple[Images, Images]:
        """Draw one occluder over a photo (T, T, 3): new photo and label map."""
        weights = np.array([weight for _, weight, _ in OCCLUDERS])
        draw, _, value = OCCLUDERS[rng.choice(len(OCCLUDERS), p=weights / weights.sum())]
        drawn = draw(self, image, labels, frame, rng)
        if drawn is None:
            return image, labels
        pixels, cover = drawn
        soft = cv2.GaussianBlur(cover, (0, 0), 0.7)[..., None]
        blended = image * (1 - soft) + pixels * soft
        return np.clip(blended, 0, 255).astype(np.uint8), np.where(cover > 0.5, np.uint8(value), labels)

    def texture(self, rng: Rng, value: int | None, side: int) -> Layer:
        """A square of one class's pixels in a random photo, or of any pixels: float32 (side, side, 3)."""
        for _ in range(4):
            skin = value == SKIN and len(self.with_skin) > 0
            n = int(rng.choice(self.with_skin) if skin else rng.integers(len(self.images)))
            size = int(rng.integers(12, 40))
            if value is None:
                y, x = rng.integers(0, self.images.shape[1] - size, 2)
                break
            inside = cv2.erode((self.labels[n] == value).astype(np.uint8), np.ones((size, size), np.uint8))
            rows, columns = np.nonzero(inside[size // 2 : -size, size // 2 : -size])
            if len(rows):
                at = rng.integers(len(rows))
                y, x = rows[at], columns[at]
                break
        else:
            return np.full((side, side, 3), rng.uniform(20, 230, 3), np.float32)
        patch = self.images[n, y : y + size, x : x + size].astype(np.float32)
        return np.asarray(cv2.resize(np.tile(_mirrored(patch), (2, 2, 1)), (side, side)), np.float32)


Drawn = tuple[Layer, Layer] | None
"""Pixels float32 (T, T, 3) and where they cover the photo, float32 (T, T) in 0..1."""


def hair(bank: Occluders, image: Images, labels: Images, frame: FaceFrame, rng: Rng) -> Drawn:
    """Hair of another photo, shifted so that part of it hangs over the forehead, an eye or a cheek."""
    if not len(bank.with_hair):
        return None
    n = int(rng.choice(bank.with_hair))
    shift = (rng.normal(0, 0.25) * frame.width, rng.uniform(0.0, 0.3) * frame.height)
    return _copied(bank, n, HAIR, frame, shift, rng)


def hat(bank: Occluders, image: Images, labels: Images, frame: FaceFrame, rng: Rng) -> Drawn:
    """A hat of another photo, placed by the eyes."""
    if not len(bank.with_hat):
        return None
    n = int(rng.choice(bank.with_hat))
    shift = (rng.normal(0, 0.04) * frame.width, rng.normal(0, 0.06) * frame.height)
    return _copied(bank, n, HAT, frame, shift, rng, colour=rng.random() < 0.5)


def cap(bank: Occluders, image: Images, labels: Images, frame: FaceFrame, rng: Rng) -> Drawn:
    """A cap, a beret or a woollen hat: a dome from the forehead up, with or without a peak."""
    side = len(labels)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    brim = frame.eyes_y - rng.uniform(0.12, 0.32) * frame.height
    half = frame.width * rng.uniform(0.55, 0.75)
    tall = frame.height * rng.uniform(0.45, 0.9)
    tilt = rng.normal(0, 0.08)
    line = brim + tilt * (x - frame.x) + rng.uniform(-0.1, 0.15) * frame.height * ((x - frame.x) / half) ** 2
    dome = ((x - frame.x) / half) ** 2 + ((y - brim) / tall) ** 2 < 1
    over = (labels == HAIR) & (np.abs(x - frame.x) < 1.15 * half) & (y < brim)  # hair above the brim is under the hat
    cover = ((dome | over) & (y < line)).astype(np.float32)
    pixels = _cloth(bank, side, rng)
    across = (x - frame.x) / half
    pixels *= (0.75 + 0.35 * np.exp(-(across**2)) + 0.15 * rng.normal() * across)[..., None]
    if rng.random() < 0.6:
        peak = np.zeros((side, side), np.uint8)
        centre = (int(frame.x + rng.normal(0, 0.15) * frame.width), int(brim))
        axes = (int(half * rng.uniform(0.7, 1.2)), int(frame.height * rng.uniform(0.05, 0.16)))
        cv2.ellipse(peak, centre, axes, np.degrees(tilt), 0, 360, 1, -1)
        pixels = np.where(peak[..., None] > 0, pixels * rng.uniform(0.5, 0.9), pixels)
        cover = np.maximum(cover, peak.astype(np.float32))
    return pixels, cover


def hand(bank: Occluders, image: Images, labels: Images, frame: FaceFrame, rng: Rng) -> Drawn:
    """A hand: a palm and two to five fingers, skin-coloured and shaded like cylinders."""
    side = len(labels)
    tip = np.array([rng.normal(frame.x, 0.3 * frame.width), rng.uniform(frame.top, frame.bottom)])
    angle = rng.uniform(0.1, 0.9) * np.pi if rng.random() < 0.8 else rng.uniform(-np.pi, np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])  # from the fingertips to the wrist; mostly downwards
    across = np.array([-along[1], along[0]])
    thick = max(3.0, frame.width * rng.uniform(0.09, 0.15))
    length = frame.width * rng.uniform(0.35, 0.7)
    own = image[(labels == SKIN)].astype(np.float32)
    texture = bank.texture(rng, SKIN, side)
    if len(own) and rng.random() < 0.8:  # most hands are those of the face's own person
        texture = texture - texture.mean((0, 1)) + own.mean(0)
    texture = texture * rng.uniform(0.75, 1.15) * rng.uniform(0.96, 1.04, 3).astype(np.float32)
    pixels, cover = texture.copy(), np.zeros((side, side), np.float32)
    count = int(rng.integers(1, 6))
    palm = tip + along * length * 1.2
    spread = rng.uniform(0.0, 0.35)
    parts = [(palm + along * length * 0.4, palm, thick * count * 0.5)]
    for k in range(count):
        offset = k - (count - 1) / 2
        root = palm + across * offset * thick * 0.95
        end = tip + across * offset * thick * (0.95 + spread) + along * rng.uniform(0, 0.25) * length
        parts.append((root, end, thick * rng.uniform(0.45, 0.52)))
    for start, end, radius in parts:
        part = np.zeros((side, side), np.uint8)
        cv2.line(part, _px(*start), _px(*end), 1, max(2, int(2 * radius)))
        depth = cv2.distanceTransform(part, cv2.DIST_L2, 3) / max(radius, 1.0)
        shade = 0.62 + 0.38 * np.sqrt(np.clip(depth * 1.6, 0, 1))
        pixels = np.where(part[..., None] > 0, texture * shade[..., None], pixels)
        cover = np.maximum(cover, part.astype(np.float32))
    return pixels.astype(np.float32), cover


def sunglasses(bank: Occluders, image: Images, labels: Images, frame: FaceFrame, rng: Rng) -> Drawn:
    """Two dark or mirrored lenses, a bridge and temples."""
    side = len(labels)
    cover = np.zeros((side, side), np.float32)
    half, tall = frame.width * rng.uniform(0.17, 0.24), frame.height * rng.uniform(0.09, 0.16)
    gap = frame.width * rng.uniform(0.22, 0.27)
    y = frame.eyes_y + rng.uniform(0.0, 0.06) * frame.height
    is_round = rng.random() < 0.6
    thin = max(1, side // 100)
    for sign in (-1, 1):
        x = frame.x + sign * gap
        if is_round:
            cv2.ellipse(cover, _px(x, y), (int(half), int(tall)), 0, 0, 360, 1, -1)
        else:
            cv2.rectangle(cover, _px(x - half, y - 0.9 * tall), _px(x + half, y + 0.9 * tall), 1, -1)
        end = x + sign * half  # of the lens; the temple begins here
        cv2.line(cover, _px(end, y - 0.3 * tall), _px(end + sign * 0.15 * frame.width, y - 0.3 * tall), 1, thin)
    cv2.line(cover, _px(frame.x - gap, y - 0.3 * tall), _px(frame.x + gap, y - 0.3 * tall), 1, thin)
    lens = np.full((side, side, 3), rng.uniform(5, 70, 3) if rng.random() < 0.5 else rng.uniform(5, 50), np.float32)
    rows = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    lens = lens + rng.uniform(0, 80) * (rows - frame.eyes_y / side)  # gradient of the lens
    if rng.random() < 0.4:  # reflections
        lens = lens + 0.35 * cv2.GaussianBlur(bank.texture(rng, None, side), (0, 0), 3)
    opacity = rng.uniform(0.75, 1.0)
    return lens * opacity + image * (1 - opacity), cover


def face_mask(bank: Occluders, image: Images, labels: Images, frame: FaceFrame, rng: Rng) -> Drawn:
    """A surgical mask or a scarf from the nose to below the chin."""
    side = len(labels)
    nose = frame.eyes_y + (frame.mouth_y - frame.eyes_y) * rng.uniform(0.3, 0.8)
    reach = frame.width * rng.uniform(0.42, 0.6)
    chin = frame.bottom + rng.uniform(-0.02, 0.2) * frame.height
    outline = np.array([
        [frame.x - reach, nose + rng.uniform(0.0, 0.1) * frame.height],
        [frame.x, nose],
        [frame.x + reach, nose + rng.uniform(0.0, 0.1) * frame.height],
        [frame.x + reach * rng.uniform(0.5, 1.0), chin],
        [frame.x - reach * rng.uniform(0.5, 1.0), chin],
    ])  # fmt: skip
    cover = np.zeros((side, side), np.float32)
    cv2.fillPoly(cover, [np.round(outline).astype(np.int32)], 1)
    pixels = _cloth(bank, side, rng)
    y = np.mgrid[:side, :side][0].astype(np.float32)
    pixels *= 1 + (rng.uniform(0, 0.12) * np.sin(y * rng.uniform(0.2, 0.6)))[..., None]  # folds
    return pixels, cover


def microphone(bank: Occluders, image: Images, labels: Images, frame: FaceFrame, rng: Rng) -> Drawn:
    """A microphone before the mouth or the chin: a dark ball on a handle that comes from below."""
    side = len(labels)
    head = np.array([rng.normal(frame.x, 0.22 * frame.width), frame.mouth_y + rng.uniform(-0.05, 0.3) * frame.height])
    radius = frame.width * rng.uniform(0.07, 0.17)
    angle = rng.uniform(0.2, 0.8) * np.pi
    end = head + frame.height * np.array([np.cos(angle), np.sin(angle)])
    ball = int(radius), int(radius * rng.uniform(1, 1.4))
    cover = np.zeros((side, side), np.float32)
    cv2.line(cover, _px(*head), _px(*end), 1, max(2, int(radius * rng.uniform(0.6, 1.2))))
    cv2.ellipse(cover, _px(*head), ball, np.degrees(angle) - 90, 0, 360, 1, -1)
    depth = cv2.distanceTransform((cover > 0).astype(np.uint8), cv2.DIST_L2, 3) / radius
    is_dark = rng.random() < 0.7
    pixels = np.full((side, side, 3), rng.uniform(10, 70), np.float32) if is_dark else _cloth(bank, side, rng)
    pixels = pixels * (0.6 + 0.6 * np.clip(depth, 0, 1))[..., None] + rng.normal(0, 8, (side, side, 1))
    return pixels.astype(np.float32), cover


def thing(bank: Occluders, image: Images, labels: Images, frame: FaceFrame, rng: Rng) -> Drawn:
    """A box, a disc or a polygon with the texture of any photo, at the edge of the face."""
    side = len(labels)
    cover = np.zeros((side, side), np.float32)
    angle = rng.uniform(-np.pi, np.pi)
    centre = np.array([frame.x, (frame.top + frame.bottom) / 2])
    centre += np.array([np.cos(angle) * frame.width, np.sin(angle) * frame.height]) * rng.uniform(0.25, 0.6)
    size = frame.width * rng.uniform(0.1, 0.45, 2)
    if rng.random() < 0.4:
        cv2.ellipse(cover, _px(*centre), (int(size[0]), int(size[1])), rng.uniform(0, 180), 0, 360, 1, -1)
    else:
        corners = cv2.boxPoints((centre.tolist(), (2 * size).tolist(), rng.uniform(0, 90)))
        corners = corners + rng.normal(0, 0.05 * frame.width, (4, 2))
        cv2.fillPoly(cover, [np.round(corners).astype(np.int32)], 1)
    return _cloth(bank, side, rng), cover


OCCLUDERS: tuple[tuple[Callable[..., Drawn], float, int], ...] = (
    (hand, 0.24, BACKGROUND),
    (cap, 0.16, HAT),
    (hat, 0.14, HAT),
    (hair, 0.12, HAIR),
    (sunglasses, 0.10, GLASSES),
    (face_mask, 0.08, CLOTH),
    (microphone, 0.08, BACKGROUND),
    (thing, 0.08, BACKGROUND),
)
"""What is drawn, its relative frequency, and the class that it becomes."""


def _copied(
    bank: Occluders, n: int, value: int, frame: FaceFrame, shift: tuple[float, float], rng: Rng, colour: bool = False
) -> Drawn:
    """Pixels of a class in photo `n`, moved to another face: scaled by the faces' widths, aligned by the eyes."""
    source = bank.frames[n]
    assert source is not None
    scale = frame.width / source.width * rng.uniform(0.9, 1.15)
    mirror = -1 if rng.random() < 0.5 else 1
    matrix = np.array([
        [scale * mirror, 0, frame.x + shift[0] - scale * mirror * source.x],
        [0, scale, frame.eyes_y + shift[1] - scale * source.eyes_y],
    ])  # fmt: skip
    side = bank.labels.shape[1]
    mask = (bank.labels[n] == value).astype(np.float32)
    cover = np.asarray(cv2.warpAffine(mask, matrix, (side, side)), np.float32)
    pixels = cv2.warpAffine(bank.images[n], matrix, (side, side), borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    if colour:
        pixels = pixels * rng.uniform(0.4, 1.4, 3).astype(np.float32)
    return pixels, cover


def _cloth(bank: Occluders, side: int, rng: Rng) -> Layer:
    """A colour with a texture of low contrast, or any texture."""
    texture = bank.texture(rng, None, side)
    if rng.random() < 0.6:
        base = rng.uniform(10, 240, 3) if rng.random() < 0.7 else np.full(3, rng.uniform(5, 250))
        texture = (texture - texture.mean((0, 1))) * rng.uniform(0.0, 0.5) + base
    return np.clip(texture, 0, 255).astype(np.float32)


def _mirrored(patch: Layer) -> Layer:
    """Extend a patch by its mirror images, so that it tiles without seams."""
    wide = np.concatenate([patch, patch[:, ::-1]], 1)
    return np.concatenate([wide, wide[::-1]])


def _px(x: float, y: float) -> tuple[int, int]:
    return round(float(x)), round(float(y))
