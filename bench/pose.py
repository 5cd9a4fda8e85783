"""Head pose from five landmarks against the rotation of a face mesh of 468 points.

    pip install mediapipe==0.10.14
    python -m bench.pose DATASET [DATASET ...] [--faces 400]

Protocol: faces of measured datasets, drawn at random. MediaPipe's face mesh (Kartynnik et al. 2019,
arxiv.org/abs/1907.06724) is found on each stored crop; faces whose mesh is more than a tenth of their size away from
the five landmarks are left out. The rotation of a mesh is that of a Procrustes fit to the mean mesh of all faces on 33
points of forehead, temples, eyes and nose: mouth and jaw, which move in expressions, are not used. Zero is where the
plane of the eyes and mouth corners of the mean mesh is parallel to the image. People are divided by a hash of their
name: `MEAN_FACE` and `SMILE` of curate/measure/pose.py were fitted to the even half, the odd half is held out. Smile:
five equal groups by the width of the mouth in the common pose.
"""

import argparse
import importlib
import importlib.util
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from curate.faces.align import transform_points
from curate.measure.pose import pose
from manifests.pixels import decode_crop
from manifests.reader import Dataset
from manifests.schema import LANDMARKS

RIGID = [
    10, 109, 67, 103, 54, 21, 162, 127, 234, 338, 297, 332, 284, 251, 389, 356, 454, 6, 168, 197, 195, 5, 4, 1, 8, 9,
    151, 33, 133, 362, 263, 130, 359,
]  # fmt: skip
"""Points of the mesh on forehead, temples, eyes and nose."""

BORDER = 80
"""Black border around a crop, px: the mesh's own detector misses faces that fill the image."""

MAX_DISTANCE = 0.12
"""Mean distance of the mesh's five points from the landmarks, relative to the root of their summed squares."""

Points = npt.NDArray[np.float64]


def five_points(meshes: Points) -> Points:
    """Meshes (N, 468, 3) -> eyes, nose tip and mouth corners (N, 5, 3)."""
    eyes = [meshes[:, [33, 133]].mean(1), meshes[:, [362, 263]].mean(1)]
    return np.stack([*eyes, meshes[:, 1], meshes[:, 61], meshes[:, 291]], 1)


def procrustes(source: Points, target: Points) -> tuple[Points, float]:
    """Rotation (3, 3) and scale that map centred `source` (P, 3) to centred `target` in least squares."""
    source, target = source - source.mean(0), target - target.mean(0)
    u, values, vt = np.linalg.svd(target.T @ source)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    return (u * signs) @ vt, float((values * signs).sum() / (source**2).sum())


def to_common_pose(mesh: Points, mean: Points) -> tuple[Points, Points]:
    """Rotation of a mesh, and the mesh in the pose of the mean mesh."""
    rotation, scale = procrustes(mean[RIGID], mesh[RIGID])
    return rotation, (mesh - mesh[RIGID].mean(0)) @ rotation / scale + mean[RIGID].mean(0)


def mean_mesh(meshes: Points, rounds: int = 6) -> Points:
    """Median of the meshes in a common pose, whose eyes lie on the x axis and whose mouth is at their depth."""
    sideways = np.abs(meshes[:, 1, 0] - (meshes[:, 234, 0] + meshes[:, 454, 0]) / 2)
    mean: Points = meshes[np.argsort(sideways)[:50]].mean(0)
    for _ in range(rounds):
        mean = np.median([to_common_pose(mesh, mean)[1] for mesh in meshes], 0)
        left, right = five_points(mean[None])[0, :2]
        mean = mean / np.linalg.norm(right - left)
    left, right, _, mouth_left, mouth_right = five_points(mean[None])[0]
    across = (right - left) / np.linalg.norm(right - left)
    down = (mouth_left + mouth_right - left - right) / 2
    down = down - across * (down @ across)
    down = down / np.linalg.norm(down)
    return (mean - (left + right) / 2) @ np.stack([across, down, np.cross(across, down)]).T


def load(path: Path, count: int, seed: int) -> tuple[list[npt.NDArray[np.uint8]], Points, list[str]]:
    """Crops, landmarks in crop px (N, 5, 2) and identities of faces drawn at random."""
    dataset = Dataset.open(path)
    faces = dataset.manifest(["image_id", "identity", "face_id", *LANDMARKS, "shard", "crop_offset", "crop_length"])
    rows = [row for row in faces.to_pylist() if row["face_id"]]
    order = np.random.default_rng(seed).permutation(len(rows))[:count]
    chosen = {rows[n]["face_id"]: rows[n] for n in order}
    matrices = {
        row["face_id"]: np.reshape(row["matrix"], (2, 3))
        for bucket in range(dataset.buckets)
        for row in dataset.faces(bucket, ["face_id", "matrix"]).to_pylist()
        if row["face_id"] in chosen
    }
    points = np.array([[row[name] for name in LANDMARKS] for row in chosen.values()], float).reshape(-1, 5, 2)
    points = transform_points(points, np.stack([matrices[face] for face in chosen]))
    names = [row["image_id"] if row["identity"] == "." else row["identity"] for row in chosen.values()]
    return [decode_crop(dataset.pixels.crop(row)) for row in chosen.values()], points, names


def find_meshes(crops: list[npt.NDArray[np.uint8]]) -> Points:
    """Face meshes in crop px, (N, 468, 3), z in the scale of x; NaN where none is found."""
    mesh = importlib.import_module("mediapipe").solutions.face_mesh.FaceMesh(
        static_image_mode=True, min_detection_confidence=0.3
    )
    found = np.full((len(crops), 468, 3), np.nan)
    for n, crop in enumerate(crops):
        padded = np.pad(crop, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)))
        result = mesh.process(padded).multi_face_landmarks
        if result:
            found[n] = [(p.x, p.y, p.z) for p in result[0].landmark]
            found[n] *= padded.shape[0]
            found[n, :, :2] -= BORDER
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="+", help="output of curate clean")
    parser.add_argument("--faces", type=int, default=400, help="of each dataset")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if importlib.util.find_spec("mediapipe") is None:
        parser.error("the reference is MediaPipe's face mesh: pip install mediapipe==0.10.14")
    parts = [load(path, options.faces, options.seed) for path in options.datasets]
    crops = [crop for part in parts for crop in part[0]]
    points = np.concatenate([part[1] for part in parts])
    odd = np.array([zlib.crc32(name.encode()) % 2 == 1 for part in parts for name in part[2]])
    meshes = find_meshes(crops)
    size = np.sqrt(((points - points.mean(1, keepdims=True)) ** 2).sum((1, 2)))
    distance = np.linalg.norm(five_points(meshes)[..., :2] - points, axis=2).mean(1) / size
    valid = distance < MAX_DISTANCE  # NaN is not
    meshes, points, odd = meshes[valid], points[valid], odd[valid]
    print(f"{len(crops):,} faces, {len(points):,} with a mesh on the landmarks\n")
    mean = mean_mesh(meshes)
    posed = [to_common_pose(mesh, mean) for mesh in meshes]
    r = np.stack([rotation for rotation, _ in posed])
    yaw, pitch = np.arctan2(r[:, 2, 0], r[:, 2, 2]), np.arcsin(np.clip(-r[:, 2, 1], -1, 1))
    reference = np.degrees(np.stack([yaw, pitch, np.arctan2(-r[:, 0, 1], r[:, 1, 1])], 1))
    corners = five_points(np.stack([mesh for _, mesh in posed]))[:, 3:]
    width = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)
    estimated = pose(torch.from_numpy(points))
    error = np.stack([estimated[name].numpy() for name in ("yaw", "pitch", "roll")], 1) - reference
    print("| half | faces | yaw | yaw beyond 30° | pitch | roll | median error of pitch, narrow to wide mouths |")
    print("|---|---|---|---|---|---|---|")
    for name, half in (("fitted", ~odd), ("held out", odd)):
        turned = half & (np.abs(reference[:, 0]) > 30)
        mae = np.abs(error[half]).mean(0)
        groups = np.array_split(np.flatnonzero(half)[np.argsort(width[half])], 5)
        medians = ", ".join(f"{np.median(error[group, 1]):+.1f}" for group in groups)
        wide = np.abs(error[turned, 0]).mean()
        print(f"| {name} | {half.sum()} | {mae[0]:.1f}° | {wide:.1f}° | {mae[1]:.1f}° | {mae[2]:.1f}° | {medians} |")


if __name__ == "__main__":
    main()
