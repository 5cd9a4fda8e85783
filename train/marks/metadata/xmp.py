"""XMP packets (ISO 16684-1) with the AIGC field."""

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import md5
from xml.etree import ElementTree

from train.marks.metadata.aigc import NAME, from_text, to_text

NAMESPACE = "http://www.tc260.org.cn/ns/AIGC/1.0/"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
AIGC_PROPERTY = f"{{{NAMESPACE}}}{NAME}"
SOURCE_TYPE_PROPERTY = f"{{{IPTC}}}DigitalSourceType"
EXTENSION_PROPERTY = "{http://ns.adobe.com/xmp/note/}HasExtendedXMP"
"""Of a packet in a JPEG: the MD5 digest of the packet that continues it, 32 hexadecimal digits."""
_PROPERTIES = (AIGC_PROPERTY, SOURCE_TYPE_PROPERTY)
_TARGET = "urn:swapset:target:1/"
TARGET_AIGC_PROPERTY = f"{{{_TARGET}}}{NAME}"
TARGET_SOURCE_TYPE_PROPERTY = f"{{{_TARGET}}}DigitalSourceType"
"""Of a result: what its target declared."""

_ABOUT = f"{{{RDF}}}about"
_ENVELOPE = 1_000  # bytes of a packet besides its properties, at most
_HEAD = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_TAIL = b'\n<?xpacket end="w"?>'
_PREFIXES = {
    "x": "adobe:ns:meta/", "rdf": RDF, "TC260": NAMESPACE, "Iptc4xmpExt": IPTC,
    "dc": "http://purl.org/dc/elements/1.1/", "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/", "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "tiff": "http://ns.adobe.com/tiff/1.0/", "exif": "http://ns.adobe.com/exif/1.0/",
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/", "SwapsetTarget": _TARGET,
    "photoshop": "http://ns.adobe.com/photoshop/1.0/", "xmpNote": "http://ns.adobe.com/xmp/note/",
}  # fmt: skip

for _prefix, _uri in _PREFIXES.items():
    ElementTree.register_namespace(_prefix, _uri)


def is_ai_source(source_type: str) -> bool:
    """Whether a digital source type of the IPTC names a generative model, alone or in a composite."""
    return source_type.endswith("rainedAlgorithmicMedia")


def build_packet(fields: Mapping[str, str], existing: bytes | None = None) -> bytes:
    """A packet, UTF-8, with the AIGC field and the digital source type of the IPTC.

    The other properties of an `existing` packet are kept. A packet that cannot be parsed, or that has a document type
    declaration, is replaced.
    """
    root = parse(existing) if existing else None
    rdf = None if root is None else root if root.tag == f"{{{RDF}}}RDF" else root.find(f"{{{RDF}}}RDF")
    if root is None or rdf is None:
        root = ElementTree.fromstring(f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"/></x:xmpmeta>')
        rdf = root[0]
    about = ""
    for description in rdf.findall(f"{{{RDF}}}Description"):
        about = about or description.get(_ABOUT, "")
        for name in _PROPERTIES:
            description.attrib.pop(name, None)
            for old in description.findall(name):
                description.remove(old)
        if not len(description) and description.keys() == [_ABOUT]:
            rdf.remove(description)
    added = ElementTree.SubElement(rdf, f"{{{RDF}}}Description", {_ABOUT: about})
    for name, text in zip(_PROPERTIES, (to_text(fields), SOURCE_TYPE), strict=True):
        ElementTree.SubElement(added, name).text = text
    body: bytes = ElementTree.tostring(root, encoding="utf-8")
    return _HEAD + body + _TAIL


def read_packet(data: bytes) -> dict[str, str] | None:
    """The AIGC field of a packet; None where it has none, or is not XMP."""
    return next((fields for text in values_of(data, AIGC_PROPERTY) if (fields := from_text(text))), None)


def values_of(data: bytes, name: str) -> list[str]:
    """The texts of a property, {namespace}name, in a packet, as an element or an attribute; empty where it has none."""
    root = parse(data)
    if root is None:
        return []
    texts = (element.text if element.tag == name else element.get(name) for element in root.iter())
    return [text.strip() for text in texts if text and text.strip()]


def packet_of_properties(properties: Iterable[ElementTree.Element], about: str = "") -> bytes:
    """A packet of these properties, UTF-8."""
    root = ElementTree.fromstring(f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"/></x:xmpmeta>')
    ElementTree.SubElement(root[0], f"{{{RDF}}}Description", {_ABOUT: about}).extend(properties)
    packet: bytes = ElementTree.tostring(root, encoding="utf-8")
    return packet


def properties_of(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """The properties of a packet, those written as attributes too, each as an element of its own."""
    for description in _descriptions(root):
        for name, text in description.attrib.items():
            if name != _ABOUT:
                element = ElementTree.Element(name)
                element.text = text
                yield element
        yield from description


def _descriptions(root: ElementTree.Element) -> list[ElementTree.Element]:
    """Those of the photo, without those that are the value of a property."""
    return [each for rdf in root.iter(f"{{{RDF}}}RDF") for each in rdf.findall(f"{{{RDF}}}Description")]


def split_packet(packet: bytes, limit: int) -> tuple[bytes, bytes]:
    """Split a packet that `parse` accepts in two, as in a JPEG: one of at most `limit` bytes, and its continuation.

    The AIGC field and the digital source type stay in the first, and of the others the shortest.
    """
    root = parse(packet)
    assert root is not None
    about = next((about for each in _descriptions(root) if (about := each.get(_ABOUT))), "")
    properties = [element for element in properties_of(root) if element.tag != EXTENSION_PROPERTY]
    sized = [(len(ElementTree.tostring(element, encoding="utf-8")), element) for element in properties]
    sized.sort(key=lambda item: (item[1].tag not in _PROPERTIES, item[0]))
    first, second = list[ElementTree.Element](), list[ElementTree.Element]()
    room = limit - _ENVELOPE - len(about.encode())
    for size, element in sized:
        room -= size
        (first if room >= 0 else second).append(element)
    extension = packet_of_properties(second, about)
    digest = ElementTree.Element(EXTENSION_PROPERTY)
    digest.text = md5(extension, usedforsecurity=False).hexdigest().upper()
    return _HEAD + packet_of_properties([*first, digest], about) + _TAIL, extension


def join_packets(packet: bytes, extension: bytes) -> bytes:
    """A packet and the one that continues it as one; the first alone where one of them cannot be parsed."""
    first, second = parse(packet), parse(extension)
    if first is None or second is None:
        return packet
    properties = (*properties_of(first), *properties_of(second))
    return packet_of_properties(element for element in properties if element.tag != EXTENSION_PROPERTY)


def parse(data: bytes) -> ElementTree.Element | None:
    """The root of a packet; None where it is not XML, or has a document type declaration."""
    # XMP has no use for entities, and a small document could expand to a huge one by them ("billion laughs").
    if re.search(rb"<!(DOCTYPE|ENTITY)", data):
        return None
    try:
        return ElementTree.fromstring(data.strip(b"\0 \r\n\t"))
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
