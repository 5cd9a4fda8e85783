"""Marks that a target or source already carries: found, recorded, and kept in the result."""

import io
import json
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import c2pa  # type: ignore[import-untyped]
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.samples.marks import MARK_ID, Pixels, encoded, resized
from tests.samples.swap import ASTRONAUT, METADATA_ONLY, pixels, swapper
from tests.samples.videos import FACE, write_video
from train.marks.marker import Marker
from train.marks.marking import Marking
from train.marks.metadata import mark, provenance
from train.marks.metadata.avi_file import add_texts
from train.marks.metadata.mark import AigcMetadata
from train.marks.metadata.photo_file import write_aigc
from train.marks.metadata.provenance import carried_packet, packet_of, read_declarations
from train.marks.metadata.xmp import (
    AIGC_PROPERTY,
    SOURCE_TYPE,
    SOURCE_TYPE_PROPERTY,
    TARGET_AIGC_PROPERTY,
    TARGET_SOURCE_TYPE_PROPERTY,
    values_of,
)
from train.marks.verify import verify
from train.marks.watermark.writer import Watermark
from train.swap.photos import PhotoSwapper
from train.swap.results import Results
from train.swap.run_record import RunRecord
from train.swap.targets import find_photos
from train.swap.video import swap_video

AI_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
FIELD = '{"Label":"1","ContentProducer":"another tool","ProduceID":"42"}'
XMP = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="48,51N"
 xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" e:DigitalSourceType="{AI_SOURCE}">
<t:AIGC xmlns:t="http://www.tc260.org.cn/ns/AIGC/1.0/">{FIELD}</t:AIGC>
<dc:rights xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Alt><rdf:li xml:lang="x-default">Anna</rdf:li></rdf:Alt>
</dc:rights></rdf:Description></rdf:RDF></x:xmpmeta>""".encode()
RECORD = RunRecord("c", ("s",), None, None, None, "d", "face", "none", "bottom-right", f"{MARK_ID:08x}")


def test_a_packet_is_carried_without_places() -> None:
    packet, notes = carried_packet(XMP)
    assert packet is not None
    assert notes == ()
    assert b"GPS" not in packet
    assert b"Anna" in packet
    assert values_of(packet, TARGET_AIGC_PROPERTY) == [FIELD]
    assert values_of(packet, TARGET_SOURCE_TYPE_PROPERTY) == [AI_SOURCE]
    assert values_of(packet, AIGC_PROPERTY) == []
    assert carried_packet(packet)[0] is not None  # a swap of a swap
    assert carried_packet(b"<no xml") == (None, ("XMP of the target: it cannot be parsed, not kept",))


def test_a_packet_that_is_too_large_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "MAX_PACKET", 2_000)
    packet, notes = carried_packet(XMP.replace(b"Anna", b"Anna" * 1_000))
    assert packet is not None
    assert b"Anna" not in packet
    assert values_of(packet, TARGET_AIGC_PROPERTY) == [FIELD]
    assert len(notes) == 1
    assert re.fullmatch(r"XMP of the target: 4,\d\d\d bytes, only its marks are kept", notes[0])
    unmarked = XMP.replace(b"AIGC", b"Other").replace(b"DigitalSourceType", b"Other")
    packet, notes = carried_packet(unmarked.replace(b"Anna", b"Anna" * 1_000))
    assert packet is None
    assert re.fullmatch(r"XMP of the target: 4,\d\d\d bytes, not kept", notes[0])
    monkeypatch.setattr(provenance, "MAX_PACKET", 100)
    packet, notes = carried_packet(XMP)
    assert packet is None
    assert re.fullmatch(r"XMP of the target: \d\d\d bytes, not kept", notes[0])


def test_metadata_of_other_tools_is_found(photo: Pixels, tmp_path: Path) -> None:
    source_type_only = XMP.replace(b"t:AIGC", b"t:Other")
    cases = {"JPEG": "IPTC source type trainedAlgorithmicMedia", "PNG": "IPTC", "WEBP": "IPTC", "TIFF": "IPTC"}
    for name, summary in cases.items():
        path = tmp_path / f"photo.{name.lower()}"
        options = {"pnginfo": png_texts(xmp=source_type_only)} if name == "PNG" else {"xmp": source_type_only}
        if name == "TIFF":
            options = {"tiffinfo": {700: source_type_only}}
        Image.fromarray(photo).save(path, name, **options)
        verdict = verify(path, (AigcMetadata,))
        finding = verdict.findings["metadata"]
        assert finding is not None
        assert finding.summary.startswith(summary), name
        assert verdict.state == "forgeable", name
    parameters = tmp_path / "parameters.png"
    Image.fromarray(photo).save(parameters, pnginfo=png_texts(parameters="a face, Steps: 20"))
    assert read_declarations(parameters.read_bytes()).texts == ("parameters",)
    assert verify(parameters, (AigcMetadata,)).state == "unmarked"  # settings of a generator are no declaration


def png_texts(xmp: bytes | None = None, **texts: str) -> PngInfo:
    info = PngInfo()
    if xmp is not None:
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    for keyword, text in texts.items():
        info.add_text(keyword, text)
    return info


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_a_result_keeps_what_its_target_declared(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    target = tmp_path / f"in/photo.{name.lower()}"
    marked = Watermark(0xABCD1234).mark(resized(pixels(ASTRONAUT), 384, 384)[None])[0]
    options = {"pnginfo": png_texts(XMP, parameters="a face", Private="no")} if name == "PNG" else {"xmp": XMP}
    target.write_bytes(encoded(marked, name, **options))
    out, marker = tmp_path / "out", Marker(Marking(MARK_ID, label="none"))
    with Results(out, RECORD) as results:
        (outcome,) = PhotoSwapper(swapper(), marker, out, results=results).run(find_photos(tmp_path / "in")[0])
    result = out / outcome.output

    # The result has marks of its own, and those of the target beside them.
    verdict = verify(result)
    assert verdict.to_dict()["watermark"]["id"] == f"{MARK_ID:08x}"
    assert verdict.to_dict()["metadata"]["ProduceID"] == f"{MARK_ID:08x}"
    packet = packet_of(result.read_bytes())
    assert packet is not None
    assert values_of(packet, SOURCE_TYPE_PROPERTY) == [SOURCE_TYPE]
    assert values_of(packet, TARGET_AIGC_PROPERTY) == [FIELD]
    assert values_of(packet, TARGET_SOURCE_TYPE_PROPERTY) == [AI_SOURCE]
    assert b"GPS" not in packet
    if name == "PNG":
        text = Image.open(result).text  # type: ignore[attr-defined]
        assert text["parameters"] == "a face"
        assert "Private" not in text

    # The watermark of the target is replaced: swap.json and the credentials record it.
    recorded = json.loads((out / "swap.json").read_text())["results"][outcome.output]["target_marks"]
    assert recorded["watermark"].startswith("ID abcd1234")
    assert "another tool" in recorded["metadata"]
    with c2pa.Reader(f"image/{name.lower()}", io.BytesIO(result.read_bytes())) as reader:
        store = json.loads(reader.json())
    (ingredient,) = store["manifests"][store["active_manifest"]]["ingredients"]
    assert "watermark: ID abcd1234" in ingredient["description"]


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_a_result_keeps_xmp_of_any_length(name: str, tmp_path: Path) -> None:
    names = [f"Anna {number}" for number in range(12_000)]
    long = XMP.replace(b"Anna", "; ".join(names).encode())  # 132 kB: in a JPEG, three segments
    (tmp_path / "in").mkdir()
    target = tmp_path / f"in/photo.{name.lower()}"
    target.write_bytes(write_aigc(encoded(resized(pixels(ASTRONAUT), 384, 384), name), json.loads(FIELD), long))
    packet = packet_of(target.read_bytes())
    assert packet is not None
    assert b"Anna 11999" in packet
    marker = Marker(Marking(MARK_ID), marks=(AigcMetadata,))
    out = tmp_path / "out"
    with Results(out, RECORD) as results:
        (outcome,) = PhotoSwapper(swapper(), marker, out, results=results).run(find_photos(tmp_path / "in")[0])
    assert outcome.notes == ""
    result = out / outcome.output
    packet = packet_of(result.read_bytes())
    assert packet is not None
    assert "; ".join(names).encode() in packet
    assert values_of(packet, TARGET_AIGC_PROPERTY) == [FIELD]
    assert values_of(packet, SOURCE_TYPE_PROPERTY) == [SOURCE_TYPE]
    if shutil.which("exiftool"):
        done = subprocess.run(["exiftool", "-j", "-XMP:all", "-Warning", result], capture_output=True, check=True)
        (tags,) = json.loads(done.stdout)
        assert "Warning" not in tags
        assert tags["Rights"].endswith("Anna 11999")


def test_a_cut_extension_is_noted(photo: Pixels) -> None:
    data = write_aigc(encoded(photo, "JPEG"), json.loads(FIELD), XMP.replace(b"Anna", b"Anna" * 20_000))
    packet = packet_of(data.replace(b"http://ns.adobe.com/xmp/extension/", b"http://ns.adobe.com/xmp/something/", 1))
    assert packet is not None
    kept, notes = carried_packet(packet)
    assert notes == ("extended XMP of the target: it is not complete, not kept",)
    assert kept is not None
    assert values_of(kept, TARGET_AIGC_PROPERTY) == [FIELD]


def test_damaged_xmp_is_noted(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    photo = resized(pixels(ASTRONAUT), 384, 384)
    (tmp_path / "in/photo.jpg").write_bytes(encoded(photo, "JPEG", xmp=XMP.replace(b"</dc:rights>", b"")))
    marker, out = Marker(Marking(MARK_ID), marks=(AigcMetadata,)), tmp_path / "out"
    with Results(out, RECORD) as results:
        (outcome,) = PhotoSwapper(swapper(), marker, out, results=results).run(find_photos(tmp_path / "in")[0])
    note = "XMP of the target: it cannot be parsed, not kept"
    assert (outcome.status, outcome.notes) == ("swapped", note)
    assert json.loads((out / "swap.json").read_text())["results"]["photo.jpg"]["not_kept"] == [note]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.flv"])
def test_a_video_keeps_the_field_of_its_target(name: str, tmp_path: Path) -> None:
    target = write_video(tmp_path / name, [FACE, FACE], tags={"AIGC": FIELD, "comment": "kept"})
    video = swap_video(target, tmp_path / "out", swapper(), METADATA_ONLY)
    verdict = verify(video.output, (AigcMetadata,))
    assert verdict.to_dict()["metadata"]["ContentProducer"] == "swapset"
    again = swap_video(video.output, tmp_path / "again", swapper(), METADATA_ONLY)  # the first origin is kept
    for output in (video.output, again.output):
        with av.open(str(output)) as container:
            assert container.metadata["AIGC_TARGET"] == FIELD


def test_an_avi_keeps_the_field_of_its_target(tmp_path: Path) -> None:
    target = write_video(tmp_path / "clip.avi", [FACE, FACE], [0, 1], base=Fraction(1, 25), tags={"comment": "kept"})
    field = FIELD.replace("another tool", "另一个")
    add_texts(target, {"AIGC": field})
    video = swap_video(target, tmp_path / "out", swapper(), Marker(Marking(MARK_ID), marks=(AigcMetadata,)))
    again = swap_video(video.output, tmp_path / "again", swapper(), METADATA_ONLY)  # the first origin is kept
    for output in (video.output, again.output):
        with av.open(str(output)) as container:
            assert json.loads(container.metadata["AIGC"])["ContentProducer"] == "swapset"
            assert container.metadata["AIGT"] == field  # names in AVI have four characters
            assert container.metadata["comment"] == "kept"
            assert len(list(container.decode(video=0))) == 2


def test_a_field_that_an_avi_has_no_room_for_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write_video(tmp_path / "clip.avi", [FACE], [0], base=Fraction(1, 25), sound=False)
    add_texts(target, {"AIGC": FIELD})
    monkeypatch.setattr(mark, "_MAX_AVI_FIELD", 10)
    video = swap_video(target, tmp_path / "out", swapper(), METADATA_ONLY)
    assert video.notes == (f"AIGC field of the target: {len(FIELD)} bytes, not kept",)
    with av.open(str(video.output)) as container:
        assert "AIGT" not in container.metadata
