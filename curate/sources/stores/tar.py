"""The store `tar`: an uncompressed tar, read by offset; nothing is unpacked or written."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from curate.errors import SourceError
from curate.sources.entry import MAX_FILE_BYTES
from curate.sources.stores.archive import TOO_LARGE, ArchiveStore, Member, pread_exactly

MAX_HEADER_BYTES = 1 << 20
"""Limit on the name or the attributes of a member; a path has at most 4 KiB."""
_EXTENDED_TYPES = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class TarStore(ArchiveStore):
    """The photos of one uncompressed tar.

    Members whose path leads outside (absolute, or with ".."), links, devices and sparse members are refused.
    """

    kind = "tar"

    @classmethod
    def accepts(cls, root: Path) -> bool:
        if not root.is_file():
            return False
        try:
            with tarfile.open(root, "r:", tarinfo=_Header):
                return True
        except tarfile.ReadError:
            return False

    def _members(self) -> Iterator[Member]:
        end = self.root.stat().st_size
        for header in tar_headers(self.root):
            if header.isdir():
                continue
            listed = self._visible_path(header.name)
            if listed is not None:
                path, outside = listed
                mtime_ns = int(header.mtime * 1e9)
                refusal = refusal_of(header, end, outside=outside)
                yield Member(path, header.offset_data, header.size, mtime_ns, refusal, outside)

    def _extract(self, descriptor: int, location: int, size: int) -> bytes:
        return pread_exactly(descriptor, size, location, self.kind)


class _Header(tarfile.TarInfo):
    """A header within limits: tarfile reads names and attributes of any size, and may go back and forth for ever."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENDED_TYPES and self.size > MAX_HEADER_BYTES:
            raise SourceError(
                f"{os.fsdecode(archive.name or '')} has a header of {self.size:,} bytes at byte {self.offset:,}: it is "
                "damaged, or no tar of photos"
            )
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return member

    def _block(self, count: int) -> int:
        if count < 0:  # before Python 3.11.14 an endless loop (CVE-2025-8194)
            raise SourceError(f"a tar has a member of {count} bytes ({self.name!r}): fetch it again")
        blocks: int = super()._block(count)  # type: ignore[misc]
        return blocks


def tar_headers(path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the headers of a tar; after a truncated member it ends. Raises SourceError for a damaged tar."""
    end = path.stat().st_size
    try:
        archive = tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape", tarinfo=_Header)  # noqa: SIM115
    except tarfile.ReadError as error:
        raise SourceError(f"{path} cannot be read as a tar ({error}): fetch it again") from error
    with archive:
        while True:
            try:
                header = archive.next()
            except tarfile.ReadError:  # the file ends inside the data of the last member, which is refused as cut off
                return
            if header is None:
                break
            # tarfile keeps every header that it has read: gigabytes for millions of photos.
            archive.members.clear()  # type: ignore[attr-defined]
            yield header
        # tarfile takes a damaged header for the end of the archive. The true end is a block of zeros or the file's.
        with path.open("rb") as file:
            file.seek(archive.offset)
            if any(file.read(tarfile.BLOCKSIZE)):
                raise SourceError(f"{path} is damaged at byte {archive.offset:,} of {end:,}: fetch it again")


def refusal_of(header: tarfile.TarInfo, end: int, *, outside: bool) -> str | None:
    """Why a member of a tar of `end` bytes is not read, else None."""
    if outside:
        return "tar member outside the tar's own folder"
    if header.issym() or header.islnk():
        return "tar member is a link"
    if not header.isfile():
        return "tar member is not a regular file"
    if header.issparse():
        return "tar member is sparse"
    if header.offset_data + header.size > end:
        return "cut off: the tar ends before this member does"
    return TOO_LARGE if header.size > MAX_FILE_BYTES else None
