"""Texts in the INFO list of AVI files."""

from pathlib import Path

import av
import pytest

from tests.samples.swap import Pixels
from tests.samples.videos import moving, write_video
from train.errors import MarkError
from train.marks.metadata.avi_file import add_texts


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.avi", moving(2), sound=False, codec="mjpeg", pix_fmt="yuvj420p")


def frames(path: Path) -> list[Pixels]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize("length", [1, 2, 7, 950])
def test_texts_are_added_in_place_and_replaced(clip: Path, length: int) -> None:
    before, size = frames(clip), clip.stat().st_size
    for text in ("first", "x" * length):
        add_texts(clip, {"AIGC": text, "AIGT": "other"})
    with av.open(str(clip)) as container:
        tags = dict(container.metadata)
    assert (tags["AIGC"], tags["AIGT"]) == ("x" * length, "other")
    assert "software" in {name.lower() for name in tags}, "what the list held is kept"
    assert clip.stat().st_size == size
    assert all((old == new).all() for old, new in zip(before, frames(clip), strict=True))


def test_a_text_that_does_not_fit_is_an_error_and_changes_nothing(clip: Path) -> None:
    before = clip.read_bytes()
    with pytest.raises(MarkError, match=r"has 1,0\d\d bytes of room for metadata, 2,\d\d\d are needed"):
        add_texts(clip, {"AIGC": "x" * 2_000})
    assert clip.read_bytes() == before


@pytest.mark.parametrize("size", [0, 20, 200, 4_700])
def test_a_file_that_is_cut_off_is_an_error(clip: Path, size: int) -> None:
    data = clip.read_bytes()[:size]
    clip.write_bytes(data)
    with pytest.raises(MarkError, match="damaged"):
        add_texts(clip, {"AIGC": "x"})
    assert clip.read_bytes() == data
