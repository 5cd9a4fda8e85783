"""`simswap swap` on photos and videos of unusual formats, from the folder that SWAPSET_CASES names."""

import os
from pathlib import Path

import av
import pytest
from PIL import Image

from curate.decode import DecodeError, decode
from tests.samples.swap import swapper
from train.errors import TargetError
from train.marks.marker import Marker
from train.marks.marking import Marking
from train.marks.verify import verify
from train.swap.photo_files.reader import read_photo
from train.swap.targets import is_video
from train.swap.video import swap_video

CASES = Path(os.environ.get("SWAPSET_CASES", "."))
STILLS, VIDEOS = CASES / "swap-still-formats/input", CASES / "swap-video-odd/input"

pytestmark = pytest.mark.skipif("SWAPSET_CASES" not in os.environ, reason="SWAPSET_CASES is not set")


@pytest.mark.parametrize("name", ["a.avif", "b.heic", "c.jxl"])
def test_a_still_is_a_photo_or_one_line_that_names_what_to_install(name: str) -> None:
    assert not is_video(STILLS / name)
    data = (STILLS / name).read_bytes()
    try:
        photo = read_photo(data)
    except DecodeError:
        with pytest.raises(DecodeError, match="install"):
            read_photo(data)
        return
    with Image.open(STILLS / "t.jpg") as original:
        assert photo.pixels.shape[:2] == (original.height, original.width)
    assert photo.format == "PNG"
    assert decode(photo.encode(photo.pixels)).pixels.shape == photo.pixels.shape


def test_a_video_without_a_decoder_is_one_line() -> None:
    with pytest.raises(TargetError, match="no decoder") as caught:
        is_video(VIDEOS / "unknown_codec.mp4")
    assert "\n" not in str(caught.value)


def test_wma_is_re_encoded_and_a_long_name_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAPSET_HOME", str(tmp_path / "home"))
    target = tmp_path / ("x" * 246 + ".wmv")
    target.write_bytes((VIDEOS / "old.wmv").read_bytes())
    video = swap_video(target, tmp_path / "out", swapper(), Marker(Marking(7)))
    assert "re-encoded to AAC" in "; ".join(video.notes)
    verdict = verify(video.output).to_dict()
    assert (verdict["state"], verdict["watermark"]["id"]) == ("marked", "00000007")
    with av.open(str(video.output)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        frames = list(container.decode(audio=0))
        assert sum(frame.samples for frame in frames) == 43_008, "all samples of the original"
        assert frames[-1].time == pytest.approx(0.092 + 42 * 1024 / 44_100, abs=0.06)
