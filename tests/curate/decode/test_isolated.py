"""Decoding in a process of its own: the same pixels and reasons, and what happens when it dies."""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.decode import decode, isolated
from curate.errors import DecodeError
from tests.curate.decode.files import save


@pytest.fixture(autouse=True)
def _no_processes_left() -> Iterator[None]:
    yield
    isolated.close()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pixels_and_metadata_are_those_of_this_process(photo: Image.Image, format: str, mode: str) -> None:
    data = save(photo.convert(mode), format, exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0")
    here, there = decode(data), decode(data, isolated=True)
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert (there.orientation, there.format, there.notes) == (here.orientation, here.format, here.notes)


def test_reasons_are_those_of_this_process(photo: Image.Image) -> None:
    for data in (save(photo, "JPEG")[:500], b"text", save(photo, "TIFF")[:2000]):
        reasons = []
        for is_isolated in (False, True):
            with pytest.raises(DecodeError) as caught:
                decode(data, isolated=is_isolated)
            reasons.append(str(caught.value))
        assert reasons[0] == reasons[1]


def test_threads_have_processes_of_their_own(photo: Image.Image) -> None:
    data = save(photo, "PNG")
    with ThreadPoolExecutor(4) as threads:
        photos = list(threads.map(lambda _: decode(data, isolated=True).pixels, range(12)))
    assert all(np.array_equal(pixels, decode(data).pixels) for pixels in photos)


def patched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Let the reader of PNGs in isolated processes do something else."""
    (tmp_path / "patched.py").write_text(
        "import os, signal, time\nfrom curate.decode import photo\n"
        f"def read(data, max_pixels):\n    {body}\n"
        "photo.READERS['PNG'] = read\n"
    )
    monkeypatch.setattr(isolated, "_PROGRAM", isolated._PROGRAM.replace("from curate", "import patched; from curate"))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    isolated.close()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "decoder crashed: SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "decoder crashed: SIGKILL"),
        ("os._exit(0)", "decoder crashed: no answer"),
        ("return bytes(10**10)", "memory does not hold the decoded photo"),
        ("while True: pass", "too much work: the decoder was stopped"),
    ],
)
def test_a_photo_that_ends_the_process_has_a_reason(
    photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, reason: str
) -> None:
    patched(tmp_path, monkeypatch, body)
    with pytest.raises(DecodeError, match=reason):
        decode(save(photo, "PNG"), isolated=True)
    assert decode(save(photo, "JPEG"), isolated=True).width == photo.width  # the next photo


def test_one_crash_is_tried_again(photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "crashed"
    body = (
        f"new = not os.path.exists({str(mark)!r}); open({str(mark)!r}, 'w').close()\n"
        "    if new: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    from curate.decode import png\n    return png.read(data, max_pixels)"
    )
    patched(tmp_path, monkeypatch, body)
    assert decode(save(photo, "PNG"), isolated=True).width == photo.width
    assert mark.exists()


def test_an_idle_process_that_was_killed_is_replaced(photo: Image.Image) -> None:
    decode(save(photo, "PNG"), isolated=True)
    os.kill(isolated._idle[0]._process.pid, signal.SIGKILL)
    assert decode(save(photo, "PNG"), isolated=True).width == photo.width


def test_any_limit_on_pixels(photo: Image.Image) -> None:
    for max_pixels in (10**12, 10**30):
        assert decode(save(photo, "TIFF"), max_pixels=max_pixels).width == photo.width
