"""Swapping folders of photos: formats and orientations are kept, a bad photo is a row, nothing is overwritten."""

import csv
import json
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from curate.decode import decode
from manifests.errors import OutputError
from tests.samples.kills import Stopped, contents, stop_at
from tests.samples.swap import ASTRONAUT, UNMARKED, StripesGenerator, pixels, smaller, swapper
from train.errors import MarkError
from train.marks.containers import Container
from train.marks.mark import Provenance
from train.marks.marker import Marker
from train.marks.marking import Marking
from train.marks.metadata.mark import AigcMetadata
from train.swap.photo_files.reader import read_photo
from train.swap.photos import REPORT, Outcome, PhotoSwapper, count_by_status
from train.swap.results import JOURNAL, Results, sha256_of
from train.swap.run_record import RunRecord
from train.swap.swapper import SwappedPhoto
from train.swap.targets import find_photos

PHOTO = smaller(pixels(ASTRONAUT), 0.3125)[:, 20:140]  # 160 x 120 px, a face of 31 px


RECORD = RunRecord("c", ("s",), None, None, None, "d", "face", "both", "bottom-right", "0000beef")


def run(target: Path, out: Path, marker: Marker = UNMARKED, record: RunRecord | None = None) -> list[Outcome]:
    with Results(out, record) if record else nullcontext() as results:
        return PhotoSwapper(swapper(), marker, out, [ASTRONAUT], results=results).run(find_photos(target)[0])


def write(path: Path, orientation: int = 1, photo: np.ndarray = PHOTO, **options: object) -> None:
    """Write the photo as stored with that EXIF orientation: viewers show it upright."""
    path.parent.mkdir(parents=True, exist_ok=True)
    transposes = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}[orientation]  # Image.Transpose values
    image = Image.fromarray(photo)
    for transpose in transposes:
        image = image.transpose(Image.Transpose(transpose))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif.tobytes(), **options)


def test_the_identity_generator_changes_no_format_and_orientation(tmp_path: Path) -> None:
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
    touched = (swapper(StripesGenerator())([PHOTO])[0].pixels != PHOTO).any(2).astype(np.uint8)
    outside = cv2.dilate(touched, np.ones((5, 5))) == 0
    # Lossy codecs change whole blocks of 16 x 16 px, and their filters reach further.
    far = cv2.dilate(touched, np.ones((65, 65))) == 0
    assert far.mean() > 0.2
    for outcome in outcomes:
        data = (tmp_path / "in" / outcome.path).read_bytes()
        before, after = decode(data), decode((tmp_path / "out" / outcome.output).read_bytes())
        assert after.pixels.shape == PHOTO.shape, outcome
        assert np.abs(before.pixels.astype(int) - PHOTO).mean() < 6  # decoded upright
        assert before.orientation == after.orientation
        if "jpg" not in outcome.path and "lossy" not in outcome.path:
            assert np.abs(before.pixels.astype(int) - after.pixels)[outside].max() <= 1, outcome
            continue
        # Lossy formats are encoded again; encoding the original pixels again must give the same away from the face.
        photo = read_photo(data)
        control = decode(photo.encode(photo.pixels)).pixels
        error = np.abs(control.astype(int) - after.pixels)[far]
        # WebP predicts blocks from their neighbours, so small differences spread.
        assert error.max() <= 1 if "jpg" in outcome.path else error.mean() < 0.5, outcome
        assert np.sqrt(((before.pixels.astype(float) - after.pixels)[far] ** 2).mean()) < 3, outcome


def test_a_photo_that_fails_is_a_row_with_its_reason(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    write(folder / "sub/deep/a.jpg")
    write(folder / "b.png", photo=np.full((60, 60, 3), 77, np.uint8))
    Image.fromarray(PHOTO).save(folder / "c.bmp")
    (folder / "d.jpg").write_bytes((folder / "sub/deep/a.jpg").read_bytes()[:900])
    (folder / "e.png").write_bytes(b"")
    (folder / "notes.txt").write_text("x")
    (folder / "f.png").write_bytes((folder / "sub/deep/a.jpg").read_bytes())  # a JPEG with the wrong suffix
    outcomes = run(folder, out)
    rows = list(csv.DictReader((out / REPORT).open()))
    summary = {row["path"]: (row["status"], row["output"], row["reason"]) for row in rows}
    assert summary == {
        "b.png": ("failed", "", "no face"),
        "c.bmp": ("swapped", "c.bmp.png", ""),
        "d.jpg": ("failed", "", "truncated"),
        "e.png": ("failed", "", "empty file"),
        "f.png": ("swapped", "f.png.jpg", ""),
        "sub/deep/a.jpg": ("swapped", "sub/deep/a.jpg", ""),
    }
    assert [outcome.path for outcome in outcomes] == sorted(summary)
    assert rows[1]["notes"].startswith("results in BMP are not supported: written as PNG")
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written == {REPORT, "c.bmp.png", "f.png.jpg", "sub/deep/a.jpg"}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "in/a.png")
    write(tmp_path / "out/a.png", photo=PHOTO[::-1])
    before = (tmp_path / "out/a.png").read_bytes()
    (fresh,) = run(tmp_path / "in", tmp_path / "out")
    assert fresh.status == "failed"
    assert "exists already: choose another --out" in fresh.reason
    (again,) = run(tmp_path / "in", tmp_path / "out", record=RECORD)
    assert "exists already: choose another --out" in again.reason
    assert (tmp_path / "out/a.png").read_bytes() == before


def test_a_target_that_has_changed_is_swapped_again(tmp_path: Path) -> None:
    photo, result = tmp_path / "in/a.png", tmp_path / "out/a.png"
    write(photo)
    assert [outcome.status for outcome in run(tmp_path / "in", tmp_path / "out", record=RECORD)] == ["swapped"]
    assert [outcome.status for outcome in run(tmp_path / "in", tmp_path / "out", record=RECORD)] == ["exists"]
    recorded = json.loads((tmp_path / "out/swap.json").read_text())
    assert recorded["sources"] == ["s"]
    assert recorded["results"]["a.png"]["target_sha256"] == sha256_of(photo)
    write(photo, photo=PHOTO[:, ::-1])
    before = result.read_bytes()
    assert [outcome.status for outcome in run(tmp_path / "in", tmp_path / "out", record=RECORD)] == ["swapped"]
    assert result.read_bytes() != before
    # What was edited by hand is not replaced.
    result.write_bytes(before)
    write(photo)
    (edited,) = run(tmp_path / "in", tmp_path / "out", record=RECORD)
    assert "was changed after it was written: remove it" in edited.reason
    assert result.read_bytes() == before


def test_stopped_at_every_step_it_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in/a.png")
    write(tmp_path / "in/b.png", photo=PHOTO[:, ::-1])
    run(tmp_path / "in", tmp_path / "undisturbed", record=RECORD)
    expected = contents(tmp_path / "undisturbed")
    out, step = tmp_path / "out", 0
    while True:
        step += 1
        stop_at(step, monkeypatch)
        with suppress(Stopped):
            run(tmp_path / "in", out, record=RECORD)
            break
        found = contents(out)
        assert found.get("a.png") in (None, expected["a.png"]), f"step {step} left something in part"
        assert ("a.png" in found) <= ("swap.json" in found), "a result without a record"
    assert step > 5
    found = contents(out)
    results = ("a.png", "b.png", "swap.json")
    assert {name: found[name] for name in results} == {name: expected[name] for name in results}


def test_a_continued_run_has_the_batches_of_an_undisturbed_one(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / f"in/{name}.png")
    run(tmp_path / "in", tmp_path / "out", record=RECORD)
    sizes: list[int] = []
    swap = swapper()

    def counting(photos: Sequence[np.ndarray]) -> list[SwappedPhoto]:
        sizes.append(len(photos))
        return swap(photos)

    for removed, expected in (["b.png"], [3]), ([], [3]):
        for name in removed:
            (tmp_path / "out" / name).unlink()
        with Results(tmp_path / "out", RECORD) as results:
            PhotoSwapper(counting, UNMARKED, tmp_path / "out", results=results).run(find_photos(tmp_path / "in")[0])
        assert sizes == expected, "photos of a batch that is finished are not swapped again"


def test_a_record_that_was_cut_or_damaged(tmp_path: Path) -> None:
    write(tmp_path / "in/a.png")
    out = tmp_path / "out"
    run(tmp_path / "in", out, record=RECORD)
    with (out / JOURNAL).open("w") as file:  # as after a kill
        file.write('{"output": "b.png", "res')
    assert [outcome.status for outcome in run(tmp_path / "in", out, record=RECORD)] == ["exists"]
    assert not (out / JOURNAL).exists()
    with pytest.raises(OutputError, match=r"other settings \(mask, see"):
        run(tmp_path / "in", out, record=replace(RECORD, mask="face_hair"))
    (out / "swap.json").write_text(json.dumps(asdict(RECORD) | {"results": {"a.png": {"size": 1}}}))
    with pytest.raises(OutputError, match=r"swap.json is damaged \(missing or unknown key: a.png"):
        run(tmp_path / "in", out, record=RECORD)


def test_file_names_of_255_bytes(tmp_path: Path) -> None:
    write(tmp_path / "in" / ("x" * 251 + ".png"))
    Image.fromarray(PHOTO).save(tmp_path / "in" / ("y" * 251 + ".bmp"))
    outcomes = run(tmp_path / "in", tmp_path / "out")
    assert [outcome.status for outcome in outcomes] == ["swapped", "swapped"]
    written = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert written == {outcome.output for outcome in outcomes}
    recorded = run(tmp_path / "in", tmp_path / "recorded", record=RECORD)
    assert [outcome.status for outcome in recorded] == ["swapped", "swapped"]
    again = run(tmp_path / "in", tmp_path / "recorded", record=RECORD)
    assert [outcome.status for outcome in again] == ["exists", "exists"]


def test_results_with_the_same_name_are_not_overwritten(tmp_path: Path) -> None:
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


def test_an_interrupt_finishes_the_current_batch_and_the_report(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / f"in/{number:02}.png")
    photo_swapper = PhotoSwapper(swapper(), UNMARKED, tmp_path / "out", [ASTRONAUT])
    outcomes = photo_swapper.run(find_photos(tmp_path / "in")[0], interrupted=lambda: True)
    assert count_by_status(outcomes) == {"swapped": 8}
    assert len(list((tmp_path / "out").glob("*.png"))) == 8
    assert len(list(csv.DictReader((tmp_path / "out" / REPORT).open()))) == 8


def test_an_output_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "in/a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another --out"):
        run(tmp_path / "in", tmp_path / "file")
