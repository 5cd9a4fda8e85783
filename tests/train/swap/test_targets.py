"""Target paths: which photos they contain, and where results may be written."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.errors import SourceError
from manifests.errors import OutputError
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


def test_other_files_are_opened_as_videos(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\0\0\0\x20ftypisom")
    assert is_video(tmp_path / "x")
