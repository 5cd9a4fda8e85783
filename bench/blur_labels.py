"""Labels of natural blur, made by looking: contact sheets of faces, and the table of what was seen on them.

    python -m bench.blur_labels sheets out/celebs-112 --name celebs-112 --count 200 --out SHEETS
    python -m bench.blur_labels record SHEETS/celebs-112-00.csv "ssssa sssbs ..."

Protocol: a sheet shows 7 x 6 faces, each the part of the stored crop that sharpness is measured on, pixel for pixel,
without any score, in an order shuffled over the collection. Each face gets one letter: `s` sharp for its size, `a` soft
but usable (a matter of taste), `b` visibly out of focus, motion-blurred or smeared, `x` not to be judged (no face, a
drawing). Half of the faces of a sheet are drawn evenly; the others from the quarter with the lowest edge_ratio_min, for
blur to be represented (column `sample`: even, soft). A second draw (200 px a face, by the score of revision 6) has all
faces that were dropped, a part of those to review and of those up to .15 above (doubtful), some evenly drawn ones, and
all of the two smallest collections (rest). People are split into `tuned` and `held-out` by a hash of their names; only
`tuned` faces take part in fitting the calibration and choosing limits.

Only ids and labels are stored (bench/blur_labels.csv): the pixels stay where they are.
"""

import argparse
import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageDraw

from curate.measure.sharpness_statistics import LEFT, SIDE, TOP
from manifests.reader import Dataset, decode_crop

FILE = Path(__file__).with_name("blur_labels.csv")
FIELDS = ("collection", "image_id", "sample", "label")
LABELS = {"s": "sharp", "a": "arguable", "b": "blurred", "x": "none"}
COLUMNS, ROWS, CAPTION = 7, 6, 14

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Label:
    """What a person saw. sample: how the face was drawn; label: a value of LABELS."""

    collection: str
    image_id: str
    sample: str
    label: str

    @property
    def held_out(self) -> bool:
        """Whether the person of the photo is kept out of fitting."""
        return held_out(self.image_id)


def held_out(image_id: str) -> bool:
    """Whether a photo's person, its folder or its name without the number, is kept out of fitting: one in two."""
    person = image_id.split("/")[0] if "/" in image_id else image_id.rsplit("_", 1)[0]
    return hashlib.sha256(person.encode()).digest()[0] % 2 == 1


def read_labels(path: Path = FILE) -> list[Label]:
    """Read the labels; of two for one photo the later counts."""
    with path.open(newline="") as file:
        labels = [Label(**row) for row in csv.DictReader(file)]
    return list({(label.collection, label.image_id): label for label in labels}.values())


def write_sheets(dataset: Dataset, name: str, count: int, seed: int, out: Path) -> None:
    """Draw `count` unlabelled faces of a dataset and write the sheets, each a PNG and the CSV of its ids."""
    known = {label.image_id for label in read_labels() if label.collection == name} if FILE.exists() else set()
    columns = ["image_id", "face_id", "edge_ratio_min", "shard", "crop_offset", "crop_length", "crop_crc"]
    manifest = dataset.to_pandas(columns)
    manifest = manifest[manifest.face_id.notna() & ~manifest.image_id.isin(known)]
    random = np.random.default_rng(seed)
    soft = manifest.edge_ratio_min < manifest.edge_ratio_min.quantile(0.25)
    even = random.permutation(len(manifest))[: count // 2]
    rest = np.setdiff1d(np.flatnonzero(soft), even)
    drawn = [(int(i), "even") for i in even] + [(int(i), "soft") for i in random.permutation(rest)[: count - len(even)]]
    drawn = [drawn[k] for k in random.permutation(len(drawn))]
    out.mkdir(parents=True, exist_ok=True)
    per_sheet = COLUMNS * ROWS
    for number in range(0, len(drawn), per_sheet):
        part = drawn[number : number + per_sheet]
        crops = [decode_crop(dataset.pixels.crop(manifest.iloc[index])) for index, _ in part]
        path = out / f"{name}-{seed}-{number // per_sheet:02}"
        sheet(crops).save(path.with_suffix(".png"))
        rows = [(name, manifest.image_id.iloc[index], sample, "") for index, sample in part]
        pd.DataFrame(rows, columns=list(FIELDS)).to_csv(path.with_suffix(".csv"), index=False)
        print(path.with_suffix(".png"), len(part))


def sheet(crops: list[Pixels]) -> Image.Image:
    """Arrange the measured part of the crops in a grid, numbered from 0."""
    rows = -(-len(crops) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * SIDE, rows * (SIDE + CAPTION)))
    draw = ImageDraw.Draw(page)
    for index, crop in enumerate(crops):
        x, y = index % COLUMNS * SIDE, index // COLUMNS * (SIDE + CAPTION)
        page.paste(Image.fromarray(crop[TOP : TOP + SIDE, LEFT : LEFT + SIDE]), (x, y + CAPTION))
        draw.text((x + 2, y + 1), str(index), fill="white")
    return page


def record(path: Path, letters: str) -> None:
    """Append the labels of one sheet to FILE. Raises ValueError for another number of letters than faces."""
    rows = pd.read_csv(path, dtype=str)
    letters = "".join(letters.split())
    if len(letters) != len(rows) or set(letters) - set(LABELS):
        raise ValueError(f"{path}: {len(rows)} faces need {len(rows)} letters of {''.join(LABELS)}, got {len(letters)}")
    new = not FILE.exists()
    with FILE.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(FIELDS)
        for row, letter in zip(rows.itertuples(), letters, strict=True):
            writer.writerow((row.collection, row.image_id, row.sample, LABELS[letter]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    draw = actions.add_parser("sheets", help="write contact sheets of unlabelled faces")
    draw.add_argument("dataset", type=Path, help="directory that `curate clean --out` wrote")
    draw.add_argument("--name", required=True, help="name of the collection in the table")
    draw.add_argument("--count", type=int, default=84, help="faces")
    draw.add_argument("--seed", type=int, default=0, help="of the draw")
    draw.add_argument("--out", type=Path, required=True, help="folder of the sheets")
    store = actions.add_parser("record", help="append what was seen on one sheet")
    store.add_argument("sheet", type=Path, help="the sheet's CSV")
    store.add_argument("letters", help="one letter a face: s sharp, a arguable, b blurred, x none; blanks are ignored")
    options = parser.parse_args()
    if options.action == "sheets":
        write_sheets(Dataset.open(options.dataset), options.name, options.count, options.seed, options.out)
    else:
        record(options.sheet, options.letters)


if __name__ == "__main__":
    main()
