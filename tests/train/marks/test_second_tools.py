"""Marks in files are read back by other programs: ffprobe, exiftool and mediainfo. Skipped where these are missing."""

import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from tests.samples.marks import MARK_ID, Pixels, encoded
from train.marks.containers import VideoFormat
from train.marks.mark import Provenance
from train.marks.marker import Marker
from train.marks.marking import Marking

COMMANDS = {
    "ffprobe": ("ffprobe", "-v", "error", "-show_entries", "format_tags"),
    "exiftool": ("exiftool", "-a", "-G1"),
    "mediainfo": ("mediainfo", "--Full"),
}
CONTAINERS: dict[VideoFormat, tuple[str, str]] = {
    "mp4": (".mp4", "libx264"),
    "mov": (".mov", "libx264"),
    "matroska": (".mkv", "libx264"),
    "webm": (".webm", "libvpx-vp9"),
    "avi": (".avi", "libx264"),
    "flv": (".flv", "libx264"),
}


def output_of(tool: str, path: Path, *options: str) -> str:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    return subprocess.run([*COMMANDS[tool], *options, str(path)], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("tool", COMMANDS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_field_of_a_signed_video(container: VideoFormat, tool: str, photo: Pixels, tmp_path: Path) -> None:
    marker = Marker(Marking(MARK_ID))
    suffix, codec = CONTAINERS[container]
    path = tmp_path / f"clip{suffix}"
    with av.open(str(path), "w", format=container, options={"movflags": "use_metadata_tags+faststart"}) as file:
        file.metadata.update(marker.tags(container))
        stream = file.add_stream(codec, 25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        frame = np.ascontiguousarray(photo[:64, :64])
        file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    marker.seal(path, Provenance(), container)
    # exiftool shows names in AVI that are not in its tables only when it is asked to.
    options = ("-u", "-b", "-j") if (tool, container) == ("exiftool", "avi") else ()
    text = output_of(tool, path, *options).replace("\\", "")
    assert "AIGC" in text.upper()
    assert f'"ProduceID":"{MARK_ID:08x}"' in text.replace(" ", "")


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_the_field_of_a_photo(name: str, photo: Pixels, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{name.lower()}"
    path.write_bytes(encoded(photo, name))
    Marker(Marking(MARK_ID)).seal(path, Provenance())
    text = output_of("exiftool", path)
    assert "AIGC" in text.upper()
    assert f'"ProduceID":"{MARK_ID:08x}"' in text.replace(" ", "")
