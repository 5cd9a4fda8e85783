"""Marks in files: the label, XMP, content credentials, a video's metadata, and what `simswap verify` says of them."""

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from typer.testing import CliRunner

from curate.errors import SourceError
from manifests.errors import OutputError
from tests.train.marks.test_watermark import package_photo, sized
from train.cli import app
from train.errors import MarkError
from train.marks import aigc, certificates, credentials, metadata, xmp
from train.marks.label import SHARE, draw, glyph_height
from train.marks.marking import Marker, Marking, mark_id_of, new_mark_id
from train.marks.verify import verify

Pixels = npt.NDArray[np.uint8]
MARK_ID = 0x00C0FFEE
FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 90}, "PNG": {}, "WEBP": {"quality": 90}, "WEBP lossless": {"lossless": True},
}  # fmt: skip


@pytest.fixture(autouse=True)
def at_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate of the tests' own."""
    home = tmp_path_factory.getbasetemp() / "swapset-home"
    monkeypatch.setenv("SWAPSET_HOME", str(home))
    return home


@pytest.fixture(scope="module")
def photo() -> Pixels:
    return sized(package_photo("skimage", "data/astronaut.png")[:300, 60:360], 256, 256)


def encoded(pixels: Pixels, name: str, **more: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, name.split()[0], **FORMATS[name] | more)
    return buffer.getvalue()


def decoded(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)))


# ---- label ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(224, 224), (1080, 1920), (1920, 1080), (512, 384), (96, 96), (40, 30)])
def test_the_label_is_as_high_as_the_rule_asks(height: int, width: int) -> None:
    black = np.zeros((1, height, width, 3), np.uint8)
    assert glyph_height(height, width) >= SHARE * min(height, width)
    drawn = draw(black, "zh")[0, :, :, 0] > 128
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    if min(height, width) >= 96:
        assert rows[-1] - rows[0] + 1 >= SHARE * min(height, width)
    assert rows.size
    assert columns.size
    assert rows[0] > height / 2


@pytest.mark.parametrize("corner", ["bottom-right", "bottom-left", "top-right", "top-left"])
def test_the_label_stands_in_its_corner(corner: Any) -> None:
    frames = np.full((2, 400, 600, 3), 90, np.uint8)
    changed = (draw(frames, "en", corner) != frames).any(3)
    assert np.array_equal(changed[0], changed[1])
    rows, columns = np.flatnonzero(changed[0].any(1)), np.flatnonzero(changed[0].any(0))
    assert (rows[0] > 200) == corner.startswith("bottom")
    assert (columns[0] > 200) == corner.endswith("right")
    assert rows[0] > 0
    assert rows[-1] < 399


@pytest.mark.parametrize("background", ["black", "white", "grey", "noise"])
def test_the_label_is_legible_on_anything(background: str) -> None:
    frame = {
        "black": np.zeros((1, 300, 300, 3)), "white": np.full((1, 300, 300, 3), 255),
        "grey": np.full((1, 300, 300, 3), 128),
        "noise": np.random.default_rng(0).integers(0, 256, (1, 300, 300, 3)),
    }[background].astype(np.uint8)  # fmt: skip
    ink = draw(np.zeros_like(frame))[0, :, :, 0] > 250
    plate = (draw(np.full_like(frame, 255))[0, :, :, 0] < 120) & ~ink
    drawn = draw(frame)[0].mean(2)
    assert ink.sum() > 200
    assert drawn[ink].min() > 250
    assert drawn[plate].max() < 130


def test_languages_differ_and_none_draws_nothing(photo: Pixels) -> None:
    results = {language: draw(photo[None], language) for language in ("both", "zh", "en", "none")}
    assert np.array_equal(results["none"][0], photo)
    areas = {language: int((result != photo).any(3).sum()) for language, result in results.items()}
    assert areas["both"] > areas["en"] > areas["zh"] > 0


# ---- XMP ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_xmp_goes_in_and_comes_back_and_no_pixel_changes(name: str, photo: Pixels) -> None:
    data = encoded(photo, name)
    assert metadata.read(data) is None
    fields = aigc.statement("Anna's lab <a&b>", MARK_ID, "zh")
    written = metadata.write(data, fields)
    assert metadata.read(written) == fields
    assert np.array_equal(decoded(written), decoded(data))
    assert metadata.write(written, fields) == written


def test_what_the_field_says() -> None:
    fields = aigc.statement("swapset", MARK_ID, "none")
    assert tuple(fields) == aigc.FIELDS
    assert fields["Label"] == "1"
    assert fields["ProduceID"] == fields["PropagateID"] == "00c0ffee"
    assert fields["ContentProducer"] == fields["ContentPropagator"] == "swapset"
    assert fields["ReservedCode1"] == "visible-label=none"
    assert aigc.from_text(aigc.to_text(fields)) == fields
    assert aigc.from_text(json.dumps({"AIGC": fields})) == fields
    for text in ("", "{", "[1]", "{}", "[" * 100_000):
        assert aigc.from_text(text) is None


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_other_properties_and_segments_stay(name: str, photo: Pixels) -> None:
    there = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="kept"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    exif = Image.Exif()
    exif[0x010E] = "a description"
    data = encoded(photo, name, exif=exif, **({} if name == "PNG" else {"xmp": there}))
    written = metadata.write(data, aigc.statement("swapset", 1, "both"))
    image = Image.open(io.BytesIO(written))
    assert image.getexif()[0x010E] == "a description"
    packet = xmp.packet(aigc.statement("swapset", 1, "both"), there)
    assert b"kept" in packet
    assert xmp.aigc_fields(packet) is not None
    if name != "PNG":
        assert b'dc:format="kept"' in written


def test_strange_packets_and_files_are_words() -> None:
    fields = aigc.statement("swapset", 1, "both")
    for strange in (b"", b"<a", b'<!DOCTYPE x [<!ENTITY a "b">]><x/>', b"<x/>"):
        assert xmp.aigc_fields(strange) is None
        assert xmp.aigc_fields(xmp.packet(fields, strange)) == fields
    with pytest.raises(MarkError, match="write JPEG, PNG or WebP"):
        metadata.write(b"BM rest", fields)
    for head in (b"\xff\xd8\xff\xe0\x00", b"\x89PNG\r\n\x1a\n\x00\x00", b"RIFF\x00\xff\x00\x00WEBPVP8 "):
        with pytest.raises(MarkError, match="damaged"):
            metadata.write(head, fields)
        assert metadata.read(head) is None


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
@pytest.mark.parametrize("name", FORMATS)
def test_exiftool_reads_the_field(name: str, photo: Pixels, tmp_path: Path) -> None:
    fields = aigc.statement("swapset", MARK_ID, "both")
    path = tmp_path / "marked"
    path.write_bytes(metadata.write(encoded(photo, name), fields))
    done = subprocess.run(["exiftool", "-j", "-XMP:all", "-Warning", path], capture_output=True, text=True, check=True)
    (said,) = json.loads(done.stdout)
    assert "Warning" not in said
    found = next(value for key, value in said.items() if key.lower() == "aigc")
    assert (json.loads(found) if isinstance(found, str) else found) == fields


# ---- content credentials --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_credentials_hold_until_the_file_is_changed(name: str, photo: Pixels, tmp_path: Path, at_home: Path) -> None:
    target, source = tmp_path / "target.jpg", tmp_path / "source.png"
    target.write_bytes(encoded(photo, "JPEG"))
    source.write_bytes(encoded(photo[:, ::-1], "PNG"))
    path = tmp_path / ".result.partial-1"
    path.write_bytes(encoded(photo, name))
    Marker(Marking(MARK_ID)).seal(path, target, [source])
    sealed = path.read_bytes()

    found = credentials.check(sealed)
    assert (found.state, found.issuer) == ("trusted", "Swapset")
    assert np.array_equal(decoded(sealed), decoded(encoded(photo, name)))
    assert metadata.read(sealed) == aigc.statement("swapset", MARK_ID, "both")
    changed = bytearray(sealed)
    changed[len(changed) // 2] ^= 1
    assert credentials.check(bytes(changed)).state == "invalid"
    assert credentials.check(encoded(decoded(sealed), name)).state == "absent"

    import c2pa  # type: ignore[import-untyped]

    with c2pa.Reader(None, io.BytesIO(sealed)) as reader:
        store = json.loads(reader.json())
    active = store["manifests"][store["active_manifest"]]
    relations = {one["title"]: one["relationship"] for one in active["ingredients"]}
    assert relations == {"target.jpg": "parentOf", "source.png": "componentOf"}
    (actions,) = (one["data"]["actions"] for one in active["assertions"] if one["label"].startswith("c2pa.actions"))
    assert any(one.get("digitalSourceType") == xmp.SOURCE_TYPE for one in actions)


def test_elsewhere_our_certificate_is_not_known(photo: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = credentials.sign(encoded(photo, "JPEG"), certificates.own(), 1, "both", None, [])
    monkeypatch.setenv("SWAPSET_HOME", str(tmp_path / "another machine"))
    found = credentials.check(sealed)
    assert found.state == "valid"
    assert found.problems == ("signingCredential.untrusted",)
    assert not (tmp_path / "another machine").exists()


def test_a_certificate_of_the_users_own(photo: Pixels, tmp_path: Path, at_home: Path) -> None:
    certificates.own()
    folder = at_home / "credentials"
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    chain, key = folder / "certificate.pem", folder / "key.pem"
    path = tmp_path / "result.png"
    path.write_bytes(encoded(photo, "PNG"))
    Marker(Marking(MARK_ID, certificate=chain, key=key)).seal(path, None, [])
    assert credentials.check(path.read_bytes()).state == "trusted"

    text = tmp_path / "text.pem"
    text.write_text("no PEM")
    other = certificates._folder().with_name("other")
    certificates._make(other)
    for certificate, private, words in [
        (tmp_path / "none.pem", key, "none.pem: No such file or directory; a PEM file"),
        (text, key, "text.pem: holds no certificate in PEM"),
        (chain, text, "text.pem: holds no private key in PEM"),
        (chain, other / "key.pem", "is not the key of"),
    ]:
        with pytest.raises(MarkError, match=words):
            Marker(Marking(1, certificate=certificate, key=private))
    with pytest.raises(MarkError, match="the key is missing"):
        Marking(1, certificate=chain)


def test_mistakes_are_words(photo: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = Marker(Marking(MARK_ID))
    bitmap = tmp_path / "a.jpg"  # by its name only
    Image.fromarray(photo).save(bitmap, "BMP")
    before = bitmap.read_bytes()
    with pytest.raises(MarkError, match="write JPEG, PNG or WebP"):
        marker.seal(bitmap, None, [])
    assert bitmap.read_bytes() == before
    fine = tmp_path / "fine.png"
    fine.write_bytes(encoded(photo, "PNG"))
    with pytest.raises(MarkError, match=r"gone\.jpg: No such file or directory; the credentials must name"):
        marker.seal(fine, tmp_path / "gone.jpg", [])
    marker.seal(fine, bitmap, [])  # a parent without a format of ours is named all the same
    with pytest.raises(MarkError, match="printable ASCII"):
        Marking(1, producer="安娜")
    with pytest.raises(ValueError, match="32 bits"):
        Marking(1 << 32)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    monkeypatch.setenv("SWAPSET_HOME", str(in_the_way))
    with pytest.raises(OutputError, match="credentials"):
        Marker(Marking(1))


def test_ids() -> None:
    assert mark_id_of("a", "b") == mark_id_of("a", "b") != mark_id_of("ab") != mark_id_of("b", "a")
    assert 0 <= new_mark_id() < 1 << 32
    assert len({new_mark_id() for _ in range(8)}) > 1


# ---- verify ---------------------------------------------------------------------------------------------------------


def write_video(path: Path, frames: Pixels, said: dict[str, str]) -> None:
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update(said)
        stream = container.add_stream("libx264", 25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "23"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def test_a_marked_photo_verifies_and_an_unmarked_does_not(photo: Pixels, tmp_path: Path) -> None:
    marker = Marker(Marking(MARK_ID, label="zh", corner="top-left"))
    path, plain = tmp_path / "marked.webp", tmp_path / "plain.webp"
    plain.write_bytes(encoded(photo, "WEBP"))
    path.write_bytes(encoded(marker.frames(photo[None])[0], "WEBP"))
    marker.seal(path, plain, [])

    found, nothing = verify(path), verify(plain)
    assert found.marked
    assert found.watermark is not None
    assert found.watermark.mark_id == MARK_ID
    words = "\n".join(found.in_words())
    for part in ("marked as AI-made", "ID 00c0ffee", "ProduceID 00c0ffee", "visible-label=zh", "trusted, signed by"):
        assert part in words
    assert not nothing.marked
    assert [line.split(maxsplit=1)[1] for line in nothing.in_words()[1:]] == ["none found", "no AIGC field", "none"]
    assert nothing.to_dict()["watermark"]["id"] is None

    # A picture re-encoded loses its records, not its watermark.
    stripped = tmp_path / "stripped.jpg"
    stripped.write_bytes(encoded(decoded(path.read_bytes()), "JPEG"))
    left = verify(stripped)
    assert left.marked
    assert left.metadata is None
    assert left.credentials is not None
    assert left.credentials.state == "absent"


def test_a_video_is_read_as_one(photo: Pixels, tmp_path: Path) -> None:
    marker = Marker(Marking(MARK_ID))
    frames = np.repeat(photo[None], 30, axis=0)
    marked, plain = tmp_path / "marked.mp4", tmp_path / "plain.mp4"
    write_video(marked, marker.frames(frames), marker.video_metadata())
    write_video(plain, frames, {})
    found = verify(marked)
    assert found.watermark is not None
    assert found.watermark.detected
    assert found.watermark.mark_id == MARK_ID
    assert found.metadata == aigc.statement("swapset", MARK_ID, "both")
    assert not verify(plain).marked
    assert verify(plain).metadata is None
    if shutil.which("ffprobe"):
        command = ["ffprobe", "-v", "error", "-show_entries", "format_tags", "-of", "json", str(marked)]
        tags = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["format"]["tags"]
        assert json.loads(tags["AIGC"]) == found.metadata


def test_the_command_answers_in_words_json_and_exit_codes(photo: Pixels, tmp_path: Path) -> None:
    def run(*arguments: object) -> Any:
        return CliRunner().invoke(app, ["verify", *map(str, arguments)])

    marker, folder = Marker(Marking(MARK_ID)), tmp_path / "out"
    (folder / "below").mkdir(parents=True)
    marked = folder / "below" / "marked.png"
    marked.write_bytes(encoded(marker.frames(photo[None])[0], "PNG"))
    done = run(folder, "--json")
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    assert said["watermark"]["id"] == "00c0ffee"
    assert said["file"] == str(marked)

    (folder / "plain.jpg").write_bytes(encoded(photo, "JPEG"))
    done = run(folder)
    assert done.exit_code == 12
    assert "plain.jpg: no mark of ours" in done.stdout
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    done = run(folder, tmp_path / "gone.png")
    assert done.exit_code == 3
    assert "broken.jpg: cannot be read: corrupt data" in done.stdout
    assert "gone.png: cannot be read: No such file or directory" in done.stdout
    (tmp_path / "empty").mkdir()
    problem = run(tmp_path / "empty").exception
    assert isinstance(problem, SourceError)
    assert "no photo or video in it" in str(problem)
