"""XMP packets (ISO 16684-1) with the AIGC field."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree

from train.marks.metadata.aigc import NAME, from_text, to_text

NAMESPACE = "http://www.tc260.org.cn/ns/AIGC/1.0/"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
AIGC_PROPERTY = f"{{{NAMESPACE}}}{NAME}"
SOURCE_TYPE_PROPERTY = f"{{{IPTC}}}DigitalSourceType"
_PROPERTIES = (AIGC_PROPERTY, SOURCE_TYPE_PROPERTY)
_TARGET = "urn:swapset:target:1/"
TARGET_AIGC_PROPERTY = f"{{{_TARGET}}}{NAME}"
TARGET_SOURCE_TYPE_PROPERTY = f"{{{_TARGET}}}DigitalSourceType"
"""Of a result: what its target declared."""

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
        about = about or description.get(f"{{{RDF}}}about", "")
        for name in _PROPERTIES:
            description.attrib.pop(name, None)
            for old in description.findall(name):
                description.remove(old)
        if not len(description) and description.keys() == [f"{{{RDF}}}about"]:
            rdf.remove(description)
    added = ElementTree.SubElement(rdf, f"{{{RDF}}}Description", {f"{{{RDF}}}about": about})
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


def parse(data: bytes) -> ElementTree.Element | None:
    """The root of a packet; None where it is not XML, or has a document type declaration."""
    # XMP has no use for entities, and a small document could expand to a huge one by them ("billion laughs").
    if re.search(rb"<!(DOCTYPE|ENTITY)", data):
        return None
    try:
        return ElementTree.fromstring(data.strip(b"\0 \r\n\t"))
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
