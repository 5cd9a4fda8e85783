"""Files that are made to break a decoder: a reason within moments, never another exception."""

import io
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, features

from bench import bombs
from bench.bombs import jpeg_of_scans, jpeg_segment, png, png_chunk
from curate.decode import decode, photo
from curate.decode.jpeg import MAX_SEGMENTS
from curate.decode.photo import read_raster
from curate.decode.png import MAX_CHUNKS
from curate.decode.raster import Raster
from curate.errors import DecodeError
from tests.curate.decode.files import save

JPEG, WEBP = (save(Image.new("RGB", (16, 16)), format) for format in ("JPEG", "WEBP"))
TIFF = bombs.tiff_photo(9, 9, b"", t40000=("B", []))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AssertionError(), "decoder failed: AssertionError"),
        (UserWarning("Corrupt EXIF data"), "decoder failed: UserWarning"),  # python -W error
        (RecursionError(), "decoder failed: RecursionError"),
        (zlib.error(), "decoder failed: error"),
        (MemoryError(), "memory does not hold the decoded photo"),
    ],
)
def test_every_exception_of_a_reader_is_a_reason(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(data: bytes, max_pixels: int) -> Raster:
        raise error

    monkeypatch.setitem(photo.READERS, "PNG", read)
    with pytest.raises(DecodeError, match=reason):
        decode(png(1, 1))


def test_ctrl_c_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(data: bytes, max_pixels: int) -> Raster:
        raise KeyboardInterrupt

    monkeypatch.setitem(photo.READERS, "PNG", read)
    with pytest.raises(KeyboardInterrupt):
        decode(png(1, 1))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png(4, 4, colour=3), "corrupt data"),  # a palette PNG without a palette
        (jpeg_of_scans(2000, 400), "too much work: 400 scans of 2000x2000"),
        (jpeg_of_scans(400, 60)[:-2] + jpeg_segment(0xFE, b"") * MAX_SEGMENTS, "too much work: more than 65536 seg"),
        (JPEG[:2] + jpeg_segment(0xFE, b"") * MAX_SEGMENTS + JPEG[2:], "too much work: more than 65536 segments"),
        (jpeg_of_scans(5900, 2, channels=4), "too many pixels: 5900x5900, progressive"),
        (png(4, 4, png_chunk(b"prVt", b"") * MAX_CHUNKS), "too much work: more than 65536 chunks"),
    ],
    ids=["no palette", "scans", "segments behind scans", "segments", "coefficients", "chunks"],
)
def test_bombs_are_refused_by_their_structure(data: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=f"^{reason}"):
        decode(data, shrink=True)


def test_many_scans_of_a_small_photo_and_many_fill_bytes_are_decoded() -> None:
    assert decode(jpeg_of_scans(64, 400)).width == 64
    filled = JPEG[:2] + b"\xff" * 10_000_000 + JPEG[2:]
    np.testing.assert_array_equal(decode(filled).pixels, decode(JPEG).pixels)


def test_texts_of_a_png_are_not_inflated() -> None:
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000)))
    data = png(8, 8, *[text] * 4, rows=b"\0" + bytes(range(24)) + bytes(7 * 25))
    tracemalloc.start()
    decoded = decode(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert decoded.pixels[0, 7].tolist() == [21, 22, 23]
    assert peak < 5_000_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bombs.gif(8, 8, b"!\xfe\x01x\0" * 600_000), "too much work: more than 1000000 blocks"),
        (bombs.bmp(7000, 7000, bytes(10), 8, 1), "too much work: run lengths of 7000x7000"),
        (bombs.tiff_photo(1, 10**6, bytes(3), t273=("I", [-1] * 10**6)), "too much work: 1000000 strips or tiles"),
        (bombs.tiff_photo(9, 9, b"", t322=("I", [20_000]), t323=("I", [20_000])), "too many pixels: tiles of 20000x2"),
        (TIFF.replace(b"@\x9c\x01\0\0\0", b"@\x9c\x01\0\xff\xff"), "corrupt data"),
        (bombs.webp_frames((6000, 6000), WEBP, 2), "too many pixels: 6000x6000, animated"),
        (WEBP[:12] + b"JUNK\0\0\0\0" * 65_536, "too much work: more than 65536 chunks"),
    ],
    ids=["gif blocks", "bmp runs", "tiff strips", "tiff tile", "tiff values", "webp canvas", "webp chunks"],
)  # fmt: skip
def test_bombs_of_other_formats_are_refused_by_their_structure(data: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=f"^{reason}"):
        decode(data)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}, {"quality": 80, "exif": b"Exif\0\0II*\0"}])
def test_a_webp_has_the_pixels_that_pillow_reads(photo: Image.Image, mode: str, options: dict[str, object]) -> None:
    image = photo.convert(mode)
    if mode == "RGBA":
        image.putalpha(image.getchannel("G"))
    data = save(image, "WEBP", **options)
    with Image.open(io.BytesIO(data)) as expected:
        np.testing.assert_array_equal(read_raster(data).pixels, np.asarray(expected))


def test_of_a_gif_pillow_sees_the_first_frame_alone() -> None:
    frames = [Image.new("L", (9, 9), grey) for grey in (40, 200)]
    data = save(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"x" * 900)
    for trailing in (b"", b"\1" * 10**6):
        decoded = decode(data[:-1] + trailing + data[-1:])
        assert (decoded.pixels == 40).all()
        assert decoded.notes == ("animated: first frame",)
    assert decode(bombs.gif(300, 200)).notes == ()


def test_an_avif_that_declares_a_far_larger_picture_is_refused() -> None:
    if not features.check("avif"):
        pytest.skip("Pillow without AVIF")
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (90, 60, 30)).save(buffer, "AVIF")
    data = buffer.getvalue()
    at = data.index(b"ispe") + 8
    bomb = data[:at] + (7000).to_bytes(4, "big") * 2 + data[at + 8 :]
    assert decode(data).width == 64
    with pytest.raises(DecodeError, match=f"too much work: 7000x7000 in {len(data)} bytes"):
        decode(bomb)
