"""AIGC metadata: the field, its XMP packet, and its place in JPEG, PNG and WebP files."""

import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.samples.marks import FORMATS, MARK_ID, Pixels, decoded, encoded
from train.errors import MarkError
from train.marks.metadata import aigc
from train.marks.metadata.aigc import aigc_fields
from train.marks.metadata.photo_file import write_aigc
from train.marks.metadata.provenance import read_declarations
from train.marks.metadata.xmp import build_packet, read_packet

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="kept"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def test_the_field_has_the_values_of_the_standard() -> None:
    fields = aigc_fields("swapset", MARK_ID, "none")
    assert fields == {
        "Label": "1",
        "ContentProducer": "swapset",
        "ProduceID": "00c0ffee",
        "ReservedCode1": "visible-label=none",
        "ContentPropagator": "swapset",
        "PropagateID": "00c0ffee",
        "ReservedCode2": "",
    }
    assert tuple(fields) == aigc.FIELDS


def test_the_field_is_parsed_from_json() -> None:
    fields = aigc_fields("swapset", MARK_ID, "both")
    assert aigc.from_text(aigc.to_text(fields)) == fields
    assert aigc.from_text(json.dumps({"AIGC": fields})) == fields
    for text in ("", "{", "[1]", "{}", "[" * 100_000):
        assert aigc.from_text(text) is None


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_keeps_its_pixels_and_returns_the_field(name: str, photo: Pixels) -> None:
    data = encoded(photo, name)
    assert read_declarations(data).aigc is None
    fields = aigc_fields("Anna's lab <a&b>", MARK_ID, "zh")
    written = write_aigc(data, fields)
    assert read_declarations(written).aigc == fields
    assert np.array_equal(decoded(written), decoded(data))
    assert write_aigc(written, fields) == written


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_other_metadata_is_kept(name: str, photo: Pixels) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    data = encoded(photo, name, exif=exif, **({} if name == "PNG" else {"xmp": XMP}))
    written = write_aigc(data, aigc_fields("swapset", 1, "both"))
    assert Image.open(io.BytesIO(written)).getexif()[0x010E] == "a description"
    if name != "PNG":
        assert b'dc:format="kept"' in written


def test_other_properties_of_a_packet_are_kept() -> None:
    fields = aigc_fields("swapset", 1, "both")
    packet = build_packet(fields, XMP)
    assert b'dc:format="kept"' in packet
    assert read_packet(packet) == fields


@pytest.mark.parametrize("packet", [b"", b"<a", b'<!DOCTYPE x [<!ENTITY a "b">]><x/>', b"<x/>"])
def test_an_invalid_packet_is_replaced(packet: bytes) -> None:
    fields = aigc_fields("swapset", 1, "both")
    assert read_packet(packet) is None
    assert read_packet(build_packet(fields, packet)) == fields


def test_another_format_is_refused() -> None:
    with pytest.raises(MarkError, match="cannot carry XMP: write JPEG, PNG or WebP"):
        write_aigc(b"BM rest", {})


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff\xe0\x00", b"\x89PNG\r\n\x1a\n\x00\x00", b"RIFF\x00\xff\x00\x00WEBPVP8 "]
)
def test_a_damaged_file_is_refused(data: bytes) -> None:
    with pytest.raises(MarkError, match="damaged"):
        write_aigc(data, {})
    assert read_declarations(data).aigc is None


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
@pytest.mark.parametrize("name", FORMATS)
def test_exiftool_reads_the_field(name: str, photo: Pixels, tmp_path: Path) -> None:
    fields = aigc_fields("swapset", MARK_ID, "both")
    path = tmp_path / "marked"
    path.write_bytes(write_aigc(encoded(photo, name), fields))
    done = subprocess.run(["exiftool", "-j", "-XMP:all", "-Warning", path], capture_output=True, text=True, check=True)
    (tags,) = json.loads(done.stdout)
    assert "Warning" not in tags
    field = next(value for key, value in tags.items() if key.lower() == "aigc")
    assert (json.loads(field) if isinstance(field, str) else field) == fields
