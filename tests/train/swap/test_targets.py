"""Target paths: which photos they contain, and where results may be written."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.errors import SourceError
from manifests.errors import OutputError
from tests.samples.videos import moving, write_video
from train.errors import TargetError
from train.swap.targets import find_photos, is_video, require_separate


@pytest.mark.parametrize(
    ("out", "target", "source", "message"),
    [
        ("photos", "photos", None, "is the folder of the target"),
        ("photos", "photos/a.png", None, "is the folder of the target"),
        ("photos/sub", "photos", None, "lies inside the target"),
        (".", "photos", None, "contains the target"),
        ("photos/sub", "x.png", "photos", "lies inside the source"),
    ],
)
def test_results_never_lie_among_their_originals(
    tmp_path: Path, out: str, target: str, source: str | None, message: str
) -> None:
    (tmp_path / "photos/sub").mkdir(parents=True)
    (tmp_path / "photos/a.png").write_bytes(b"")
    sources = [] if source is None else [tmp_path / source]
    with pytest.raises(OutputError, match=message):
        require_separate(tmp_path / out, tmp_path / target, sources)


def test_separate_folders_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos/a.png"
    photo.write_bytes(b"")
    require_separate(tmp_path / "out", tmp_path / "photos", [photo])
    require_separate(tmp_path / "photos/out", photo, [])


def test_a_target_without_photos_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(SourceError, match=r"no photo in it \(but 1 .mp4\)"):
        find_photos(tmp_path)
    with pytest.raises(SourceError, match="no such file or folder"):
        find_photos(tmp_path / "nowhere")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_photos_are_recognised_by_content(tmp_path: Path, format: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, format)
    (tmp_path / "x").write_bytes(buffer.getvalue())
    assert not is_video(tmp_path / "x")


@pytest.mark.parametrize("brand", [b"avif", b"heic", b"mif1"])
def test_stills_in_iso_media_files_are_photos(tmp_path: Path, brand: bytes) -> None:
    (tmp_path / "x").write_bytes(b"\0\0\0\x1cftyp" + brand + b"\0\0\0\0mif1heicmiaf" + bytes(99))
    assert not is_video(tmp_path / "x")


def test_videos_are_recognised_by_content(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", moving(2)).rename(tmp_path / "x.jpg")
    assert is_video(tmp_path / "x.jpg")


def test_other_files_are_errors_that_name_the_next_step(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", moving(2), sound=False).read_bytes()
    pixmap = io.BytesIO()
    Image.new("RGB", (8, 8)).save(pixmap, "PPM")
    for name, data, message in [
        ("x.mp4", clip.replace(b"avc1", b"zzzz"), "no decoder for the codec of its video stream: convert it to H.264"),
        ("x.ppm", pixmap.getvalue(), r"a photo of a format that is not supported \(ppm\): convert it to JPEG or PNG"),
        ("x.txt", b"plain text\n" * 99, "cannot be read as a photo or video"),
        (
            "x.jpg",
            b"plain text\n" * 99,
            r"video \(Invalid data found.*\): give a JPEG, PNG or WebP, or a video",
        ),
        ("x.bin", b"\0\0\0\x20ftypisom", r"cannot be read as a photo or video \(Invalid data"),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(TargetError, match=message) as caught:
            is_video(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 14
