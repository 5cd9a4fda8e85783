"""Folders of photos: every format comes back undamaged, one bad photo is one row, nothing is overwritten."""

import csv
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from curate.decode import decode
from curate.errors import SourceError
from manifests.errors import OutputError
from tests.samples.swap import ASTRONAUT, UNMARKED, Paint, pixels, smaller, swapper
from train.errors import MarkError
from train.marks.containers import Container
from train.marks.mark import Provenance
from train.marks.marker import Marker
from train.marks.marking import Marking
from train.marks.metadata.mark import AigcMetadata
from train.swap.album import REPORT, Album, Outcome
from train.swap.paths import is_video, photos_of, require_apart
from train.swap.photo import read_picture
from train.swap.stages import Behind, ahead

PHOTO = smaller(pixels(ASTRONAUT), 0.3125)[:, 20:140]  # 160 x 120 px, a face of 31 px


def run(target: Path, out: Path, **options: object) -> list[Outcome]:
    outcomes: list[Outcome] = []
    swaps = options.pop("swapper", None) or swapper()
    album = Album(swaps, options.pop("marker", UNMARKED), out, [ASTRONAUT], **options)  # type: ignore[arg-type]
    album.run(photos_of(target)[0], outcomes.append)
    return outcomes


def write(path: Path, orientation: int = 1, photo: np.ndarray = PHOTO, **options: object) -> None:
    """The photo, stored so that a viewer turns it upright."""
    path.parent.mkdir(parents=True, exist_ok=True)
    turns = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}[orientation]  # Image.Transpose values
    image = Image.fromarray(photo)
    for turn in turns:
        image = image.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif.tobytes(), **options)


def test_the_identity_gives_back_every_format_and_orientation(tmp_path: Path) -> None:
    kinds: dict[str, dict[str, object]] = {
        "jpg": {"quality": 90},
        "png": {},
        "webp": {"lossless": True},
        "lossy.webp": {"quality": 90},
    }
    for orientation in range(1, 9):
        for suffix, options in kinds.items():
            write(tmp_path / f"in/{orientation}.{suffix}", orientation, **options)
    Image.fromarray(PHOTO).save(tmp_path / "in/flat.bmp")
    outcomes = run(tmp_path / "in", tmp_path / "out")
    assert {outcome.status for outcome in outcomes} == {"swapped"}
    assert len(outcomes) == 33
    touched = (swapper(Paint())([PHOTO])[0].pixels != PHOTO).any(2).astype(np.uint8)
    outside = cv2.dilate(touched, np.ones((5, 5))) == 0
    # A block of 16 x 16 px is coded as a whole: what changes in it changes all of it, and filters reach further.
    far = cv2.dilate(touched, np.ones((65, 65))) == 0
    assert far.mean() > 0.2
    for outcome in outcomes:
        data = (tmp_path / "in" / outcome.path).read_bytes()
        before, after = decode(data), decode((tmp_path / "out" / outcome.output).read_bytes())
        assert after.pixels.shape == PHOTO.shape, outcome
        assert np.abs(before.pixels.astype(int) - PHOTO).mean() < 6  # the test's own files are upright
        assert before.orientation == after.orientation
        if "jpg" not in outcome.path and "lossy" not in outcome.path:
            assert np.abs(before.pixels.astype(int) - after.pixels)[outside].max() <= 1, outcome
            continue
        # A lossy format encodes anew; beside that nothing changes: the same pixels without a swap give the same.
        picture = read_picture(data)
        control = decode(picture.encode(picture.pixels)).pixels
        error = np.abs(control.astype(int) - after.pixels)[far]
        # WebP predicts blocks from their neighbours: it is nowhere quite the same, but nearly.
        assert error.max() <= 1 if "jpg" in outcome.path else error.mean() < 0.5, outcome
        assert np.sqrt(((before.pixels.astype(float) - after.pixels)[far] ** 2).mean()) < 3, outcome


def test_one_bad_photo_is_a_row_with_its_reason(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    write(folder / "sub/deep/a.jpg")
    write(folder / "b.png", photo=np.full((60, 60, 3), 77, np.uint8))
    Image.fromarray(PHOTO).save(folder / "c.bmp")
    (folder / "d.jpg").write_bytes((folder / "sub/deep/a.jpg").read_bytes()[:900])
    (folder / "e.png").write_bytes(b"")
    (folder / "notes.txt").write_text("x")
    (folder / "f.png").write_bytes((folder / "sub/deep/a.jpg").read_bytes())  # a JPEG by another name
    outcomes = run(folder, out)
    rows = list(csv.DictReader((out / REPORT).open()))
    found = {row["path"]: (row["status"], row["output"], row["reason"]) for row in rows}
    assert found == {
        "b.png": ("failed", "", "no face"),
        "c.bmp": ("swapped", "c.bmp.png", ""),
        "d.jpg": ("failed", "", "truncated"),
        "e.png": ("failed", "", "empty file"),
        "f.png": ("swapped", "f.png.jpg", ""),
        "sub/deep/a.jpg": ("swapped", "sub/deep/a.jpg", ""),
    }
    assert [outcome.path for outcome in outcomes] == sorted(found)
    assert rows[1]["notes"].startswith("BMP cannot carry the marks: written as PNG")
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written == {REPORT, "c.bmp.png", "f.png.jpg", "sub/deep/a.jpg"}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "in/a.png")
    write(tmp_path / "out/a.png", photo=PHOTO[::-1])
    before = (tmp_path / "out/a.png").read_bytes()
    (fresh,) = run(tmp_path / "in", tmp_path / "out")
    assert fresh.status == "failed"
    assert "is in the way: choose another --out" in fresh.reason
    (again,) = run(tmp_path / "in", tmp_path / "out", continued=True)
    assert (again.status, again.output) == ("exists", "a.png")
    assert (tmp_path / "out/a.png").read_bytes() == before


def test_two_photos_whose_results_share_a_name(tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "a.bmp")
    write(tmp_path / "a.bmp.png")
    outcomes = run(tmp_path, tmp_path.with_name("out-of-shared"))
    assert sorted(outcome.status for outcome in outcomes) == ["failed", "swapped"]
    assert "rename one of them" in next(outcome.reason for outcome in outcomes if outcome.status == "failed")


def test_a_photo_that_cannot_be_marked_is_not_written(tmp_path: Path) -> None:
    class Failing(AigcMetadata):
        def apply(self, path: Path, container: Container, provenance: Provenance) -> None:
            raise MarkError("the certificate does not sign")

    write(tmp_path / "in/a.png")
    (outcome,) = run(tmp_path / "in", tmp_path / "out", marker=Marker(Marking(0), marks=(Failing,)))
    assert (outcome.status, outcome.reason) == ("failed", "the certificate does not sign")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [REPORT]


def test_stopping_finishes_the_batch_in_work_and_the_report(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / f"in/{number:02}.png")
    album = Album(swapper(), UNMARKED, tmp_path / "out", [ASTRONAUT])
    told: list[Outcome] = []
    counts = album.run(photos_of(tmp_path / "in")[0], told.append, stop=lambda: True)
    assert counts == {"swapped": 8}
    assert len(list((tmp_path / "out").glob("*.png"))) == 8
    assert len(list(csv.DictReader((tmp_path / "out" / REPORT).open()))) == 8


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    write(tmp_path / "in/a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another --out"):
        run(tmp_path / "in", tmp_path / "file")


def test_results_never_lie_among_their_originals(tmp_path: Path) -> None:
    (tmp_path / "photos/sub").mkdir(parents=True)
    write(tmp_path / "photos/a.png")
    photos, one = tmp_path / "photos", tmp_path / "photos/a.png"
    for out, target, sources, words in [
        (photos, photos, [], "is the folder of the target"),
        (photos, one, [], "is the folder of the target"),
        (photos / "sub", photos, [], "lies inside the target"),
        (tmp_path, photos, [], "holds the target"),
        (photos / "sub", tmp_path / "x.png", [photos], "lies inside the source"),
    ]:
        with pytest.raises(OutputError, match=words):
            require_apart(out, target, sources)
    require_apart(tmp_path / "out", photos, [one])
    require_apart(photos / "out", one, [])


def test_a_target_without_photos(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(SourceError, match=r"no photo in it \(but 1 .mp4\)"):
        photos_of(tmp_path)
    with pytest.raises(SourceError, match="no such file or folder"):
        photos_of(tmp_path / "nowhere")


def test_photos_and_videos_are_told_apart_by_content(tmp_path: Path) -> None:
    for format in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"):
        buffer = io.BytesIO()
        Image.fromarray(PHOTO).save(buffer, format)
        (tmp_path / "x").write_bytes(buffer.getvalue())
        assert not is_video(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"\0\0\0\x20ftypisom")
    assert is_video(tmp_path / "x")


def test_stages_keep_order_bound_what_waits_and_pass_errors_on() -> None:
    made: list[int] = []

    def numbers() -> "object":
        for number in range(10):
            made.append(number)
            yield number
        raise ValueError("at the end")

    got: list[int] = []

    def use() -> None:
        for number in ahead(numbers(), 2):  # type: ignore[attr-defined,arg-type,var-annotated]
            got.append(number)
            assert len(made) <= len(got) + 3

    with pytest.raises(ValueError, match="at the end"):
        use()
    assert got == list(range(10))
    done: list[int] = []
    behind = Behind(done.append, 2)
    for number in range(5):
        behind.put(number)
    behind.close()
    assert done == [0, 1, 2, 3, 4]
    failing: Behind[int] = Behind(lambda number: 1 // number, 1)
    failing.put(0)
    with pytest.raises(ZeroDivisionError):
        failing.close()
    failing.drop()
