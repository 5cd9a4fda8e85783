"""What the metadata of a photo declares of its origin, and how a result carries it on.

EU code of practice, measure 1.2: marks that inputs carry are retained. Read are the AIGC field, the IPTC digital source
type, and the texts that generators write into PNG files. XMP is carried on by a list of properties, because other ones
can hold places, thumbnails and names of people.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree import ElementTree

from train.marks.containers import photo_format
from train.marks.metadata.photo_file import find_packet, insert_png_chunks, png_texts
from train.marks.metadata.xmp import (
    AIGC_PROPERTY,
    EXTENSION_PROPERTY,
    IPTC,
    SOURCE_TYPE_PROPERTY,
    TARGET_AIGC_PROPERTY,
    TARGET_SOURCE_TYPE_PROPERTY,
    packet_of_properties,
    parse,
    properties_of,
    read_packet,
    values_of,
)

GENERATOR_TEXTS = frozenset({
    "parameters", "prompt", "workflow", "generation_data", "Dream", "sd-metadata", "invokeai_metadata",
    "invokeai_graph", "invokeai_workflow",
})  # fmt: skip
"""Keywords of PNG texts in which generators record their settings."""

_AUTHOR_TEXTS = {"Software", "Source", "Title", "Description", "Comment", "Author", "Copyright"}  # PNG, 11.3.3.1
CARRIED_TEXTS = GENERATOR_TEXTS | _AUTHOR_TEXTS | {"AIGC"}
"""Keywords of PNG texts that results keep."""

_CARRIED_PROPERTIES = {
    "http://purl.org/dc/elements/1.1/": {"creator", "rights"},
    "http://ns.adobe.com/xap/1.0/rights/": None,
    "http://ns.adobe.com/xap/1.0/": {"CreatorTool"},
    "http://ns.adobe.com/photoshop/1.0/": {"Credit"},
    "http://ns.useplus.org/ldf/xmp/1.0/": {"DataMining"},
    IPTC: {"AISystemUsed", "AISystemVersionUsed", "AIPromptInformation", "AIPromptWriterName"},
}
"""Namespace -> names of the XMP properties that results keep beside the marks; None for all."""

_TARGET_PROPERTIES = {TARGET_AIGC_PROPERTY, TARGET_SOURCE_TYPE_PROPERTY}

MAX_PACKET = 1 << 24
"""Bytes of the XMP of a target that results keep."""

_PACKET = re.compile(rb"<x:xmpmeta\b.*?</x:xmpmeta\s*>", re.DOTALL)


@dataclass(frozen=True)
class Declarations:
    """What a photo's metadata declares.

    Attributes:
        aigc: the AIGC field.
        source_type: the last part of the IPTC digital source type, such as "trainedAlgorithmicMedia".
        texts: the keywords of texts in which generators record their settings.
    """

    aigc: dict[str, str] | None = None
    source_type: str | None = None
    texts: tuple[str, ...] = field(default=())


def read_declarations(data: bytes) -> Declarations:
    """The declarations in an encoded photo; empty where it has none, or they are damaged."""
    packet = packet_of(data)
    aigc = read_packet(packet) if packet else None
    source = next(iter(values_of(packet, SOURCE_TYPE_PROPERTY)), None) if packet else None
    texts = sorted({keyword for keyword, _ in png_texts(data)} & GENERATOR_TEXTS)
    return Declarations(aigc, source.rstrip("/").rpartition("/")[2] if source else None, tuple(texts))


def packet_of(data: bytes) -> bytes | None:
    """The XMP packet of a photo: of JPEG, PNG and WebP by their structure, of others the first one in plain text.

    Of a JPEG, with the packet that continues it.
    """
    if photo_format(data) is not None:
        return find_packet(data)
    match = _PACKET.search(data)
    return match.group() if match else None


def carried_packet(packet: bytes) -> tuple[bytes | None, tuple[str, ...]]:
    """A packet with the properties of another that results keep, None where there are none; notes on what is lost.

    The AIGC field and the digital source type, which the result has of its own, are renamed. They alone are kept where
    all properties together are larger than `MAX_PACKET`.
    """
    root = parse(packet)
    if root is None:
        return None, ("XMP of the target: it cannot be parsed, not kept",)
    is_cut = any(element.tag == EXTENSION_PROPERTY for element in properties_of(root))
    cut = ("extended XMP of the target: it is not complete, not kept",) if is_cut else ()
    kept = list(_carried_elements(root))
    text = packet_of_properties(kept)
    if len(text) <= MAX_PACKET:
        return text if kept else None, cut
    marks = [element for element in kept if element.tag in _TARGET_PROPERTIES]
    size = f"XMP of the target: {len(text):,} bytes"
    if marks and len(text := packet_of_properties(marks)) <= MAX_PACKET:
        return text, (f"{size}, only its marks are kept", *cut)
    return None, (f"{size}, not kept", *cut)


def _carried_elements(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    renamed = {AIGC_PROPERTY: TARGET_AIGC_PROPERTY, SOURCE_TYPE_PROPERTY: TARGET_SOURCE_TYPE_PROPERTY}
    names = set[str]()
    # Where the target is a swap itself, what its own target declared is kept: the first origin.
    for element in sorted(properties_of(root), key=lambda element: element.tag not in _TARGET_PROPERTIES):
        tag = renamed.get(element.tag, element.tag)
        if tag not in names and (tag in _TARGET_PROPERTIES or _is_carried(tag)):
            names.add(tag)
            element.tag, element.tail = tag, None
            yield element


def _is_carried(tag: str) -> bool:
    namespace, _, name = tag.removeprefix("{").rpartition("}")
    if namespace not in _CARRIED_PROPERTIES:
        return False
    names = _CARRIED_PROPERTIES[namespace]
    return names is None or name in names


def carry_texts(data: bytes, target: bytes) -> bytes:
    """A PNG with the texts of the target that results keep; other formats are returned as they are."""
    if photo_format(data) != "PNG":
        return data
    present = {keyword for keyword, _ in png_texts(data)}
    chunks = [chunk for keyword, chunk in png_texts(target) if keyword in CARRIED_TEXTS - present]
    return insert_png_chunks(data, chunks) if chunks else data
