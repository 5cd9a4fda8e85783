"""Kept photo of duplicate groups: whether the best original is kept among enlarged, bordered, stamped, ... copies.

    SWAPSET_DATA=DIR python -m bench.copies --photos 50 [--draw 1] [--keep DIR]

Protocol: `--photos` photos of each of six collections, each in a folder of its own with one copy of every kind:

- enlarged: by 1.3 to 4, with the seven kernels of bench.resolution; JPEG 85 to 98.
- bordered: a frame, bars, pillars or an instant picture, 3-15% of the side, in four colours; JPEG 85 to 98.
- stamped: text in a corner, along the bottom or across, a round logo, a box or a band with text, of three opacities;
  JPEG 85 to 98.
- recompressed: JPEG 30 to 96. Finer than the original or not, the copy is not better.
- smaller: by 1.5 to 3; JPEG 85 to 98.

All are measured, related and decided as `curate clean` does, without dropping for other reasons than being a copy.
Groups count where the original is in one and shows one face. *Kept*: the original is preferred to the copies of the
first four kinds together; a smaller copy of a photo that was enlarged before loses nothing, and is counted apart.
*Preferred*: of the copies of a kind that are in the original's group, the share that rank after it. People that the
network of `resolution` was fitted on and others are counted apart. The thresholds of curate/relate/copy_order.py were
set on draw 0, those of people that are not held out; `--draw 1` takes other photos.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageFont

import curate
from bench.resolution import COLLECTIONS, OPENCV, PILLOW, enlarged, people
from curate.decide.policy import load_policy
from curate.decode import Pixels, decode
from curate.evaluate.degradations import encode_jpeg
from curate.measure import MeasureRequest
from manifests.reader import Dataset

Random = np.random.Generator

BORDER_COLOURS = ((255, 255, 255), (0, 0, 0), (128, 128, 128), (40, 90, 180))
INKS = ((255, 255, 255), (0, 0, 0), (220, 30, 30), (250, 230, 40))
TEXTS = ("(c) PHOTO AGENCY", "picture alliance", "www.example.com", "STOCK", "No. 123456")
MAX_SIDE = 1600


def _fine(photo: Pixels, random: Random) -> bytes:
    return encode_jpeg(photo, int(random.integers(85, 99)))


def enlarge(photo: Pixels, random: Random) -> bytes:
    factor = min(float(2 ** random.uniform(np.log2(1.3), 2)), MAX_SIDE / max(photo.shape))
    return _fine(enlarged(photo, max(factor, 1.3), str(random.choice([*OPENCV, *PILLOW]))), random)


def border(photo: Pixels, random: Random) -> bytes:
    width = int(random.uniform(0.03, 0.15) * max(photo.shape[:2]))
    edges = [(width,) * 4, (width, width, 0, 0), (0, 0, width, width), (width // 2, 2 * width, width // 2, width // 2)]
    colour = BORDER_COLOURS[random.integers(len(BORDER_COLOURS))]
    framed = cv2.copyMakeBorder(photo, *edges[random.integers(4)], cv2.BORDER_CONSTANT, value=colour)
    return _fine(np.asarray(framed, np.uint8), random)


def stamp(photo: Pixels, random: Random) -> bytes:
    """Draw text, a logo, or a field with text over a photo."""
    height, width = photo.shape[:2]
    ink = (*INKS[random.integers(len(INKS))], int(random.choice([110, 160, 255])))
    contrast = (255, 255, 255, 255) if sum(ink[:3]) < 500 else (0, 0, 0, 255)
    text = str(random.choice(TEXTS))
    layer = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    kind = random.choice(["corner", "bottom", "across", "logo", "box", "band"])
    if kind in ("corner", "bottom", "across", "box"):
        low, high = {"corner": (0.25, 0.5), "bottom": (0.5, 0.9), "across": (0.6, 0.9), "box": (0.2, 0.4)}[str(kind)]
        font = _font(draw, text, random.uniform(low, high) * width)
        right, bottom = draw.textbbox((0, 0), text, font=font)[2:]
        x = {"bottom": 0.5, "across": 0.5}.get(str(kind), float(random.choice([0.03, 0.97]))) * (width - right)
        y = {"across": 0.5}.get(str(kind), 0.97) * (height - bottom)
        if kind == "box":
            draw.rectangle((x - 3, y - 3, x + right + 3, y + bottom + 3), fill=ink)
        draw.text((x, y), text, fill=contrast if kind == "box" else ink, font=font)
        layer = layer.rotate(30) if kind == "across" else layer
    elif kind == "logo":
        radius = random.uniform(0.06, 0.12) * min(photo.shape[:2])
        x, y = (float(random.choice([0.03, 0.97])) * (side - 2 * radius) for side in (width, height))
        draw.ellipse((x, y, x + 2 * radius, y + 2 * radius), fill=ink)
        draw.text((x + radius / 2, y + radius / 2), "TV", fill=contrast, font=ImageFont.load_default(radius))
    else:
        band = random.uniform(0.07, 0.13) * height
        draw.rectangle((0, height - band, width, height), fill=(*ink[:3], 255))
        draw.text((0.03 * width, height - 0.9 * band), text, fill=contrast, font=ImageFont.load_default(0.6 * band))
    stamped = Image.alpha_composite(Image.fromarray(photo).convert("RGBA"), layer).convert("RGB")
    return _fine(np.asarray(stamped), random)


def _font(draw: ImageDraw.ImageDraw, text: str, width: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The default font in the size at which a text is so wide, px."""
    return ImageFont.load_default(max(7.0, 20 * width / draw.textlength(text, font=ImageFont.load_default(20))))


def recompress(photo: Pixels, random: Random) -> bytes:
    return encode_jpeg(photo, int(random.integers(30, 97)))


def shrink(photo: Pixels, random: Random) -> bytes:
    factor = float(random.uniform(1.5, 3))
    size = max(64, round(photo.shape[1] / factor)), max(64, round(photo.shape[0] / factor))
    return _fine(np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS)), random)


KINDS: dict[str, Callable[[Pixels, Random], bytes]] = {
    "enlarged": enlarge,
    "bordered": border,
    "stamped": stamp,
    "recompressed": recompress,
    "smaller": shrink,
}


def write_groups(root: Path, count: int, draw: int) -> dict[str, tuple[str, bool]]:
    """Write photos and their copies; returns folder -> collection, and whether the person is held out."""
    random = np.random.default_rng(7 + draw)
    groups: dict[str, tuple[str, bool]] = {}
    for collection in COLLECTIONS:
        for number, (path, held_out) in enumerate(people(collection, count, draw)):
            folder = root / f"{collection} {number:03d}"
            groups[folder.name] = collection, held_out
            folder.mkdir(parents=True)
            data = path.read_bytes()
            (folder / "original.jpg").write_bytes(data)
            photo = decode(data).pixels
            for kind, change in KINDS.items():
                (folder / f"{kind}.jpg").write_bytes(change(photo, random))
    return groups


def read_rows(dataset: Dataset) -> dict[str, dict[str, dict[str, object]]]:
    """Folder -> name of the photo -> its row: main face, group, rank, flaw, faces, kept photo."""
    rows: dict[str, dict[str, dict[str, object]]] = defaultdict(dict)
    for bucket in range(dataset.buckets):
        relations = dataset.relations(bucket, ["image_id", "main", "duplicate_group", "copy_rank", "copy_flaw"])
        names = ["face_count", "resolution", "border", "quantisation", "eye_distance"]
        measures = dataset.measures(bucket, names)
        table = pa.table({**{n: relations[n] for n in relations.column_names}, **{n: measures[n] for n in names}})
        for row in table.to_pylist():
            if row["main"]:
                folder, name = row["image_id"].split("/")
                rows[folder][name.removesuffix(".jpg")] = row
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=50, help="photos of each collection")
    parser.add_argument("--draw", type=int, default=0, help="other photos and other copies than those of lower numbers")
    parser.add_argument("--keep", type=Path, help="keep photos and dataset in this folder, or use those in it")
    parser.add_argument("--missed", action="store_true", help="list copies that are preferred to their original")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = (options.keep or Path(scratch)) / "photos"
        groups = write_groups(root, options.photos, options.draw)
        out = root.parent / "dataset"
        request = MeasureRequest(layout="folder", root=root, out=out, models="builtin")
        curate.clean(request, load_policy("keep-all"))
        rows = read_rows(Dataset.open(out))
    report(groups, rows, options.missed)


def report(groups: dict[str, tuple[str, bool]], rows: dict[str, dict[str, dict[str, object]]], missed: bool) -> None:
    kept: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    preferred: dict[tuple[str, str, bool], list[bool]] = defaultdict(list)
    grouped: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    for folder, (collection, held_out) in groups.items():
        original = rows[folder]["original"]
        group = original["duplicate_group"]
        members = {
            name: row for name, row in rows[folder].items() if group is not None and row["duplicate_group"] == group
        }
        if original["face_count"] != 1:
            continue
        for kind in KINDS:
            grouped[kind, held_out].append(kind in members)
        if len(members) < 2:
            continue
        ranks = [members[kind]["copy_rank"] for kind in KINDS if kind in members and kind != "smaller"]
        kept[collection, held_out].append(all(rank > original["copy_rank"] for rank in ranks))
        for kind in KINDS:
            if kind in members:
                after = members[kind]["copy_rank"] > original["copy_rank"]
                for name in (collection, "all"):
                    preferred[name, kind, held_out].append(after)
                if missed and not after:
                    print("missed:", folder, kind, original, members[kind], sep="\n  ")
    for held_out in (False, True):
        total = [value for name in COLLECTIONS for value in kept[name, held_out]]
        print(
            f"\n{'held out' if held_out else 'fitted on'}: the original is kept in {sum(total)} of {len(total)} groups"
        )
        print(f"| collection | groups, original kept | {' | '.join(KINDS)} |")
        print("|---|---|" + "---|" * len(KINDS))
        for name in (*COLLECTIONS, "all"):
            values = total if name == "all" else kept[name, held_out]
            cells = [
                f"{sum(part)} of {len(part)}" for kind in KINDS if (part := preferred[name, kind, held_out]) is not None
            ]
            print(f"| {name} | {sum(values)} of {len(values)} | {' | '.join(cells)} |")
        shares = [f"{np.mean(grouped[kind, held_out]):.3f}" for kind in KINDS if grouped[kind, held_out]]
        print(f"| in the original's group | | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
