"""Forms of sorted photos: a contact sheet, a page, a folder of links."""

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from curate.report.pages import render
from curate.report.sheets import format_number
from curate.sort.order import Sorted
from manifests.errors import OutputError
from manifests.file_names import UniqueNames
from manifests.output import atomic, atomic_folder
from manifests.partials import remove_partials_of
from manifests.reader import decode_crop

TILE, CAPTION, COLUMNS = 128, 18, 10
"""px of a tile and of the caption below it, and tiles in a row of a contact sheet."""

_PAPER, _INK, _NO_FACE = (250, 250, 250), (40, 44, 52), (217, 221, 227)
_JPEG_QUALITY = 88


def contact_sheet(photos: Sorted, out: Path) -> None:
    """Write one image, row by row in the order of the photos; each with its value below."""
    rows = max(1, -(-len(photos.rows) // COLUMNS))
    sheet = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + CAPTION)), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for index, row in enumerate(photos.rows):
        x, y = index % COLUMNS * TILE, index // COLUMNS * (TILE + CAPTION)
        sheet.paste(_tile(photos, row), (x, y))
        draw.text((x + 3, y + TILE + 2), _printable(_text(row["value"])), fill=_INK, font=font)
    data = io.BytesIO()  # a JPEG that Pillow writes into a file is cut without an error on a full disk
    sheet.save(data, "PNG" if out.suffix.lower() == ".png" else "JPEG", quality=_JPEG_QUALITY)
    remove_partials_of(out)
    with atomic(out) as partial:
        partial.write_bytes(data.getvalue())


def page(photos: Sorted, out: Path) -> None:
    """Write one HTML file that holds its pictures."""
    shown = [
        {"title": row["image_id"], "value": _text(row["value"]), "verdict": row["verdict"], "data": _data(photos, row)}
        for row in photos.rows
    ]
    name = photos.dataset.path.resolve().name
    text = render("curate.sort", "page.html", name=name, by=photos.by, photos=shown, total=photos.total)
    remove_partials_of(out)
    with atomic(out) as partial:
        partial.write_text(text, encoding="utf-8")


def links(photos: Sorted, out: Path) -> None:
    """Write a folder of symbolic links to the source's photos, whose names sort as the photos do.

    Raises OutputError where the source is no folder, lacks a photo, or `out` holds anything but links.
    """
    root = photos.dataset.info.source.root
    if root is None or not Path(root).is_dir():
        raise OutputError(f"the photos are in {root or 'several sources'}, no folder to link to: use --out NAME.html")
    if out.exists() and (not out.is_dir() or any(not entry.is_symlink() for entry in out.iterdir())):
        raise OutputError(f"{out} holds something else than links: choose another --out")
    names, digits = UniqueNames(), len(str(len(photos.rows)))
    with atomic_folder(out) as folder:
        for number, row in enumerate(photos.rows, 1):
            photo = (Path(root) / row["image_id"]).resolve()
            if not photo.is_file():
                raise OutputError(f"{photo} is missing or inside an archive: use --out NAME.html")
            (folder / names.add(f"{number:0{digits}d} {_text(row['value'])} {photo.name}")).symlink_to(photo)


def _tile(photos: Sorted, row: dict[str, Any]) -> Image.Image:
    if not row["shard"]:
        return Image.new("RGB", (TILE, TILE), _NO_FACE)
    return Image.fromarray(decode_crop(photos.dataset.pixels.crop(row))).resize((TILE, TILE), Image.Resampling.BOX)


def _data(photos: Sorted, row: dict[str, Any]) -> str | None:
    """Data URI of the tile; None without a face."""
    if not row["shard"]:
        return None
    data = io.BytesIO()
    _tile(photos, row).save(data, "JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def _text(value: object) -> str:
    if value is None:
        return "none"
    return format_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _printable(text: str) -> str:
    return "".join(character if " " <= character <= "~" else "?" for character in text)[:18]
