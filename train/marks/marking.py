"""What a swap calls: frames in, marked frames out; an encoded file in, the same file with its records, in place.

The machine-readable marks have no switch. The visible label can be turned off, and the metadata says that it was.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from manifests.output import writable
from train.errors import MarkError
from train.marks import aigc, certificates, credentials, metadata
from train.marks.label import Corner, Language, draw
from train.marks.watermark import Watermark

Pixels = npt.NDArray[np.uint8]

ID_BITS = 32


@dataclass(frozen=True)
class Marking:
    """What is written, where, and by whom.

    `mark_id`: 32 bits, the same in watermark and metadata. `producer`: printable ASCII, who made the content.
    `certificate`, `key`: PEM files that sign the credentials, both or none; None: a certificate of this machine's own.
    """

    mark_id: int
    label: Language = "both"
    corner: Corner = "bottom-right"
    producer: str = "swapset"
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.mark_id < 1 << ID_BITS:
            raise ValueError(f"mark_id={self.mark_id}: an unsigned number of {ID_BITS} bits is needed")
        if not self.producer or not (self.producer.isascii() and self.producer.isprintable()):
            raise MarkError(f"producer {self.producer!r}: the metadata takes printable ASCII only")
        if (self.certificate is None) != (self.key is None):
            missing = "key" if self.key is None else "certificate"
            raise MarkError(f"a certificate and its key go together: the {missing} is missing")


def new_mark_id() -> int:
    """A random ID, 32 bits."""
    return secrets.randbits(ID_BITS)


def mark_id_of(*parts: str) -> int:
    """The ID that always belongs to these strings, in this order; 32 bits."""
    digest = blake2b(digest_size=ID_BITS // 8)
    for part in parts:
        data = part.encode("utf-8", "surrogateescape")
        digest.update(len(data).to_bytes(8, "big") + data)
    return int.from_bytes(digest.digest(), "big")


class Marker:
    """Marks frames on `device`, and files, all with the one ID of `marking`.

    Raises MarkError at once where the certificate and key do not sign, OutputError where none can be made.
    """

    def __init__(self, marking: Marking, device: torch.device | str = "cpu") -> None:
        self.marking = marking
        self.device = torch.device(device)
        self._watermark = Watermark(marking.mark_id, self.device)
        if marking.certificate is not None and marking.key is not None:
            self._identity = certificates.load(marking.certificate, marking.key)
        else:
            self._identity = certificates.own()

    def frames(self, rgb: Pixels, label: bool = True) -> Pixels:
        """(N, H, W, 3) uint8 RGB -> the same with the watermark and then, where `label`, the visible label.

        A label that `marking.label` turns off is not drawn. The input is not changed.
        """
        marked = self._watermark.mark(rgb)
        return draw(marked, self.marking.label, self.marking.corner) if label else marked

    def seal(self, path: Path, parent: Path | None, components: Sequence[Path]) -> None:
        """Give an encoded JPEG, PNG or WebP file its XMP, then its content credentials, in place.

        `path` may have any name: its format is seen from its content. `parent`: the photo that was changed;
        `components`: the photos whose identity went in; the credentials tell their file names. Raises MarkError for a
        format that cannot carry the records; the file is then as it was.
        """
        described = metadata.write(path.read_bytes(), self._fields())
        marking = self.marking
        sealed = credentials.sign(described, self._identity, marking.mark_id, marking.label, parent, components)
        with writable(path):
            path.write_bytes(sealed)

    def video_metadata(self) -> dict[str, str]:
        """Container metadata for an MP4 or MOV.

        PyAV must open the file with options={"movflags": "use_metadata_tags"}: without, the field is lost silently.
        """
        return {aigc.NAME: aigc.to_text(self._fields())}

    def _fields(self) -> dict[str, str]:
        return aigc.statement(self.marking.producer, self.marking.mark_id, self.marking.label)
