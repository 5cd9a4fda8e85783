"""The photos of a dataset's source, to be looked at: small JPEGs of decoded pixels, never the bytes of the file."""

from collections import OrderedDict
from functools import cached_property

import cv2

from curate.decode import MAX_PIXELS, Pixels, decode
from curate.errors import DecodeError, SourceError
from curate.sources import Source, open_source
from curate.sources.entry import Entry
from manifests.layout import DatasetInfo
from manifests.locations import as_path

_MAX_IDENTITIES = 8
"""Identities whose list of photos is held."""


class SourcePhotos:
    """Reads photos by image_id. Only files that the source lists are opened, whatever a manifest names."""

    def __init__(self, info: DatasetInfo) -> None:
        self._info = info
        self._listed: OrderedDict[str, dict[str, Entry]] = OrderedDict()

    def jpeg(self, image_id: str, source_identity: str, side: int) -> bytes | None:
        """Return a photo of which the longer side has at most `side` px, as a JPEG.

        None where the source is not there any more, for instance on another machine, where it lacks the photo, or
        where the photo cannot be decoded.
        """
        entry = self._entries(source_identity).get(image_id)
        if entry is None or self._source is None:
            return None
        try:
            limit = self._info.settings.max_pixels or MAX_PIXELS
            pixels = decode(self._source.read(entry), max_pixels=limit, shrink=True).pixels
        except DecodeError:
            return None
        return reduced_jpeg(pixels, side)

    def _entries(self, identity: str) -> dict[str, Entry]:
        if self._source is None:
            return {}
        if identity not in self._listed:
            self._listed[identity] = {entry.image_id: entry for entry in self._source.entries(identity)}
        self._listed.move_to_end(identity)
        while len(self._listed) > _MAX_IDENTITIES:
            self._listed.popitem(last=False)
        return self._listed[identity]

    @cached_property
    def _source(self) -> Source | None:
        """The source of the photos; None where it is missing."""
        record = self._info.source
        if record.root is None:
            return None
        try:
            return open_source(record.kind, as_path(record.root), record.identities)
        except SourceError:
            return None


def reduced_jpeg(pixels: Pixels, side: int) -> bytes:
    """Encode an image RGB uint8 (H, W, 3) as a JPEG, reduced so that its longer side has at most `side` px."""
    scale = min(1.0, side / max(pixels.shape[:2]))
    size = [max(1, round(length * scale)) for length in pixels.shape[1::-1]]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small[..., ::-1])[1].tobytes()
