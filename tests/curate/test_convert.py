"""Converting to JPEG: pixels, names, verification, reruns; the originals are not changed."""

import csv
import io
import os
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
from PIL import Image

import curate.convert
from curate.convert import REPORT, ConvertRequest, plan, run
from curate.decode import decode
from curate.errors import OutputError, SourceError
from curate.listener import SILENT, Listener
from tests.samples.listener import Recorder, Step

ASTRONAUT = Path(skimage.__file__).parent / "data" / "astronaut.png"


def convert(root: Path, out: Path, listener: Listener = SILENT, **options: Any) -> Counter[str]:
    """Convert and return the number of photos by status."""
    return run(plan(ConvertRequest(root=root, out=out, **options)), listener).counts


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(ASTRONAUT).convert("RGB").crop((100, 0, 340, 192)).resize((120, 96))


@pytest.fixture
def root(tmp_path: Path, photo: Image.Image) -> Path:
    """Two people: PNGs of several kinds, a BMP, a JPEG."""
    folder = tmp_path / "root"
    for name, image in {
        "al/1.png": photo, "al/deep/grey.png": photo.convert("L"), "bo/palette.png": photo.quantize(200),
        "bo/2.bmp": photo, "bo/3.jpeg": photo,
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name)
    return folder


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def report(out: Path) -> dict[str, tuple[str, str, str]]:
    with (out / REPORT).open(newline="", encoding="utf-8") as file:
        return {row["path"]: (row["output"], row["status"], row["reason"]) for row in csv.DictReader(file)}


def test_the_tree_is_converted_and_the_originals_do_not_change(root: Path, tmp_path: Path, photo: Image.Image) -> None:
    before = state(root)
    recorder = Recorder()
    counts = convert(root, tmp_path / "out", recorder)
    assert counts == {"converted": 4, "copied": 1}
    assert state(root) == before
    assert set(state(tmp_path / "out")) == {
        "al/1.jpg", "al/deep/grey.jpg", "bo/palette.jpg", "bo/2.jpg", "bo/3.jpg", REPORT,
    }  # fmt: skip
    assert report(tmp_path / "out")["al/1.png"] == ("al/1.jpg", "converted", "")
    assert recorder.steps == [Step("converting", None, "photos", done=5, finished=True)]
    decoded = decode((tmp_path / "out/al/1.jpg").read_bytes())
    assert decoded.format == "JPEG"
    assert np.abs(decoded.pixels.astype(int) - np.asarray(photo)).mean() < 2
    assert (tmp_path / "out/bo/3.jpg").read_bytes() == (root / "bo/3.jpeg").read_bytes()


@pytest.mark.parametrize(("subsampling", "layers"), [("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)])
def test_quality_and_subsampling_are_those_of_the_request(
    root: Path, tmp_path: Path, subsampling: str, layers: int
) -> None:
    sizes = []
    for quality in (60, 95):
        out = tmp_path / f"out{quality}"
        convert(root, out, quality=quality, subsampling=subsampling)
        with Image.open(out / "al/1.jpg") as image:
            assert image.layer[0][1:3] == ((1, 1), (2, 1), (2, 2))[layers]
            expected = io.BytesIO()
            Image.open(root / "al/1.png").save(expected, "JPEG", quality=quality, subsampling=layers)
            assert image.quantization == Image.open(expected).quantization
        sizes.append((out / "al/1.jpg").stat().st_size)
    assert sizes[0] < sizes[1]


def test_alpha_and_orientation_are_applied(tmp_path: Path, photo: Image.Image) -> None:
    (tmp_path / "root/al").mkdir(parents=True)
    clear = photo.copy()
    clear.putalpha(0)
    clear.save(tmp_path / "root/al/clear.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(tmp_path / "root/al/turned.png", exif=exif)
    convert(tmp_path / "root", tmp_path / "out", background=(0, 200, 0))
    flat = decode((tmp_path / "out/al/clear.jpg").read_bytes()).pixels
    assert np.abs(flat.astype(int) - (0, 200, 0)).max() <= 3
    turned = decode((tmp_path / "out/al/turned.jpg").read_bytes())
    assert (turned.width, turned.height, turned.orientation) == (96, 120, 1)
    assert np.abs(turned.pixels.astype(int) - np.rot90(np.asarray(photo), -1)).mean() < 2
    assert report(tmp_path / "out")["al/clear.png"][2] == "alpha flattened"
    # A second run repeats the notes on photos that it skips.
    convert(tmp_path / "root", tmp_path / "out", background=(0, 200, 0))
    assert report(tmp_path / "out")["al/clear.png"] == ("al/clear.jpg", "skipped", "alpha flattened")


def test_a_second_run_writes_nothing_and_detects_changes(root: Path, tmp_path: Path, photo: Image.Image) -> None:
    out = tmp_path / "out"
    convert(root, out)
    before = state(out)
    assert convert(root, out) == {"skipped": 5}
    del before[REPORT]
    assert {name: value for name, value in state(out).items() if name != REPORT} == before

    os.utime(root / "al/1.png", ns=(1, 1))  # changed, by its time
    photo.resize((60, 48)).save(root / "bo/3.jpeg")  # changed, a copied one
    (out / "bo/2.jpg").write_bytes((out / "bo/2.jpg").read_bytes()[:-40])  # damaged output
    (out / "bo/palette.jpg").write_bytes(b"another file")
    convert(root, out)
    statuses = {path: status for path, (_, status, _) in report(out).items()}
    assert statuses == {
        "al/1.png": "converted", "al/deep/grey.png": "skipped", "bo/2.bmp": "converted", "bo/3.jpeg": "copied",
        "bo/palette.png": "converted",
    }  # fmt: skip
    assert (out / "bo/2.jpg").read_bytes() == before["bo/2.jpg"][0]
    assert convert(root, out, quality=80) == {"converted": 4, "skipped": 1}


def test_originals_with_the_same_output_name_keep_their_whole_names(tmp_path: Path, photo: Image.Image) -> None:
    folder = tmp_path / "root/al"
    folder.mkdir(parents=True)
    for name in ("a.png", "a.bmp", "a.jpg", "a.png.png", "b.PNG", "b.png", "c.png"):
        photo.save(folder / name)
    counts = convert(tmp_path / "root", tmp_path / "out")
    assert counts == {"converted": 6, "copied": 1}
    outputs = [output for output, _, _ in report(tmp_path / "out").values()]
    assert sorted(outputs) == [
        "al/a.bmp.jpg", "al/a.jpg.jpg", "al/a.png.jpg", "al/a.png~2.jpg", "al/b.PNG.jpg", "al/b.png.jpg", "al/c.jpg",
    ]  # fmt: skip
    assert all((tmp_path / "out" / output).is_file() for output in outputs)
    assert convert(tmp_path / "root", tmp_path / "out") == {"skipped": 7}


def test_name_collisions_between_identities_in_a_flat_folder(tmp_path: Path, photo: Image.Image) -> None:
    (tmp_path / "root").mkdir()
    for name in ("a_1.png", "a_1.bmp", "a_1.png.png"):
        photo.save(tmp_path / "root" / name)
    convert(tmp_path / "root", tmp_path / "out", layout="sjtu")
    outputs = [output for output, _, _ in report(tmp_path / "out").values()]
    assert len(set(outputs)) == 3
    assert all((tmp_path / "out" / output).is_file() for output in outputs)


def test_unreadable_files_are_rows_of_the_report(root: Path, tmp_path: Path) -> None:
    whole = (root / "al/1.png").read_bytes()
    bad = {
        "empty.png": (b"", "empty file"),
        "text.png": (b"<html>not found</html>", "not an image"),
        "cut.png": (whole[: len(whole) // 2], "truncated"),
        "bomb.png": (
            whole[:16] + (60_000).to_bytes(4, "big") * 2 + whole[24:],
            "too many pixels: 60000x60000 (limit: --max-pixels 50000000; decoding it takes 28.8 GB of memory)",
        ),
        "cut.jpg": ((root / "bo/3.jpeg").read_bytes()[:-300], "truncated"),
    }
    for name, (data, _) in bad.items():
        (root / "al" / name).write_bytes(data)
    (root / "al/round.png").symlink_to("round.png")
    (root / "al/up").symlink_to(root)
    os.mkfifo(root / "al/pipe.png")
    counts = convert(root, tmp_path / "out")
    assert counts == {"converted": 4, "copied": 1, "failed": 8}
    rows = report(tmp_path / "out")
    for name, (_, reason) in bad.items():
        assert rows[f"al/{name}"] == ("", "failed", reason)
    assert rows["al/round.png"][2] == "cannot be read: symlink loop"
    assert rows["al/pipe.png"][2] == "cannot be read: not a regular file"
    assert rows["al/up"][2].startswith("cannot be read: symlink loop")
    assert not list((tmp_path / "out").rglob("*.part"))


def test_an_output_unlike_its_original_is_not_kept(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = curate.convert.simplejpeg.encode_jpeg
    monkeypatch.setattr(
        curate.convert.simplejpeg, "encode_jpeg", lambda pixels, *rest, **more: encode(255 - pixels, *rest, **more)
    )
    assert convert(root, tmp_path / "out") == {"failed": 4, "copied": 1}
    assert "output differs from the original: PSNR" in report(tmp_path / "out")["al/1.png"][2]
    assert not (tmp_path / "out/al/1.jpg").exists()


def test_without_verification_outputs_are_not_compared(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = curate.convert.simplejpeg.encode_jpeg
    monkeypatch.setattr(
        curate.convert.simplejpeg, "encode_jpeg", lambda pixels, *rest, **more: encode(255 - pixels, *rest, **more)
    )
    counts = run(plan(ConvertRequest(root=root, out=tmp_path / "out", verify=False))).counts
    assert counts == {"converted": 4, "copied": 1}
    assert convert(root, tmp_path / "out") == {"skipped": 5}  # finished, as the help says


def test_without_verification_the_outputs_are_the_same_bytes(root: Path, tmp_path: Path) -> None:
    for out, verify in ((tmp_path / "verified", True), (tmp_path / "trusted", False)):
        run(plan(ConvertRequest(root=root, out=out, verify=verify)))
    outputs = [path.relative_to(tmp_path / "verified") for path in (tmp_path / "verified").rglob("*.jpg")]
    assert outputs
    for path in outputs:
        assert (tmp_path / "verified" / path).read_bytes() == (tmp_path / "trusted" / path).read_bytes()


def test_names_that_are_not_utf8_and_long(tmp_path: Path, photo: Image.Image) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"root", b"ren\xe9")
    os.makedirs(folder)
    file = io.BytesIO()
    photo.save(file, "PNG")
    for name in (b"\xff.png", b"x" * 250 + b".png"):
        with open(os.path.join(folder, name), "wb") as target:
            target.write(file.getvalue())
    assert convert(tmp_path / "root", tmp_path / "out") == {"converted": 2}
    outputs = os.listdir(os.path.join(os.fsencode(tmp_path), b"out", b"ren\xe9"))
    assert sorted(outputs) == [b"x" * 250 + b".jpg", b"\xff.jpg"]


def test_file_names_of_255_bytes(tmp_path: Path, photo: Image.Image) -> None:
    folder = tmp_path / "root/al"
    folder.mkdir(parents=True)
    for name in ("x" * 251 + ".png", "x" * 251 + ".bmp", "\u540d" * 83 + ".png"):
        photo.save(folder / name)
    assert convert(tmp_path / "root", tmp_path / "out") == {"converted": 3}
    outputs = [output for output, _, _ in report(tmp_path / "out").values()]
    assert {path.name for path in (tmp_path / "out/al").iterdir()} == {output.removeprefix("al/") for output in outputs}
    assert len(set(outputs)) == 3
    assert convert(tmp_path / "root", tmp_path / "out") == {"skipped": 3}


def test_a_tar_is_converted_and_members_outside_it_are_not_written(tmp_path: Path, photo: Image.Image) -> None:
    file = io.BytesIO()
    photo.save(file, "PNG")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for name in ("al/1.png", "../up.png", "al/../../up2.png", "/tmp/swapset-abs.png", "al/1.png"):
            member = tarfile.TarInfo(name)
            member.size = len(file.getvalue())
            archive.addfile(member, io.BytesIO(file.getvalue()))
    (tmp_path / "in").mkdir()
    counts = convert(tmp_path / "set.tar", tmp_path / "in/out")
    assert counts == {"converted": 1, "failed": 4}
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == {
        "set.tar", "in/out/al/1.jpg", f"in/out/{REPORT}",
    }  # fmt: skip


def test_out_and_root_must_not_contain_each_other(root: Path, tmp_path: Path) -> None:
    before = state(tmp_path)
    for out in (root, root / "jpg", tmp_path, root / ".." / "root" / "al"):
        with pytest.raises(OutputError, match="contains the other: choose an --out outside the originals"):
            convert(root, out)
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(OutputError, match="contains the other"):
        convert(root, tmp_path / "link")
    assert state(tmp_path) == before


def test_a_link_in_out_to_the_originals_is_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/al").symlink_to(root / "al")
    before = state(root)
    convert(root, tmp_path / "out")
    assert state(root) == before
    assert report(tmp_path / "out")["al/1.png"][2] == "output cannot be written: a link in OUT leads outside it"


def test_an_unwritable_out_is_one_error(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write .*file: a .*choose another --out"):
        convert(root, tmp_path / "file")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "x.jpg")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"cannot write .*jpg: the disk is full.*what is finished is kept"):
        convert(root, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.*")), "no output, no report, no unfinished file"


def test_a_missing_root_and_options_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be opened"):
        convert(tmp_path / "missing", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="quality=101: choose 1 to 100"):
        ConvertRequest(root=tmp_path, out=tmp_path, quality=101)
    with pytest.raises(ValueError, match="subsampling='4:1:1': choose 4:4:4, 4:2:2, 4:2:0"):
        ConvertRequest(root=tmp_path, out=tmp_path, subsampling="4:1:1")
