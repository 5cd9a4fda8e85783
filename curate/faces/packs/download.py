"""Resumable download of a file, and unpacking of the models in a zip file. Both leave complete files or none."""

import os
import re
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Collection
from contextlib import ExitStack
from email.message import Message
from http.client import HTTPException
from pathlib import Path, PurePosixPath, PureWindowsPath

from curate.errors import ModelError
from curate.listener import SILENT, Listener, progress
from manifests.output import atomic, writable
from manifests.partials import remove_partials

_BLOCK = 1 << 20
_TIMEOUT = 30.0  # seconds without a byte


def download(url: str, path: Path, listener: Listener = SILENT) -> None:
    """Download `url` to `path`.

    Bytes are written to `path` + ".part"; the next call continues an interrupted download.

    Raises ModelError if the server cannot be reached, refuses, or ends early (the part is kept).
    """
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            if response.status != 206:
                done = 0  # the server does not resume
            total = _total(response.headers, done)
            step = progress(listener, f"downloading {path.name}", total, "B")
            with part.open("ab" if done else "wb") as out, step as advance:
                advance(done)
                while block := response.read(_BLOCK):
                    with writable(part):
                        out.write(block)
                    done += len(block)
                    advance(len(block))
    except urllib.error.HTTPError as error:
        if error.code != 416 or _total(error.headers, 0) != done:
            part.unlink(missing_ok=error.code == 416)
            raise ModelError(f"{url}: the server answered {error.code} {error.reason}") from error
        total = done  # the part was already complete
    except (OSError, HTTPException) as error:
        raise ModelError(f"{url}: {getattr(error, 'reason', error) or type(error).__name__}") from error
    if total is not None and done != total:
        raise ModelError(f"{url}: interrupted after {done:,} of {total:,} bytes; fetch again to continue")
    os.replace(part, path)


def _total(headers: Message, start: int) -> int | None:
    """Size of the whole file in bytes, from the headers of a response whose body begins at `start`."""
    if span := re.fullmatch(r"bytes .*/(\d+)", headers.get("Content-Range", "")):
        return int(span[1])
    length = headers.get("Content-Length")
    return start + int(length) if length else None


def unpack_models(archive: Path, folder: Path, required: Collection[str]) -> None:
    """Unpack every *.onnx of a zip, from any of its folders, into `folder`: all of them, or none on an error.

    Existing files are kept. Raises ModelError for a file that is not a zip, is damaged or lacks one of the `required`
    names, and for a member outside the folder.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            members = {_safe_name(archive, member): member for member in bundle.infolist() if not member.is_dir()}
            if missing := sorted(set(required) - members.keys()):
                raise ModelError(f"{archive}: contains no {' and no '.join(missing)}; it is not the pack {folder.name}")
            remove_partials(folder)
            new = [name for name in members if name.endswith(".onnx") and not (folder / name).exists()]
            with ExitStack() as files:
                partials = [files.enter_context(atomic(folder / name)) for name in new]
                for name, partial in zip(new, partials, strict=True):
                    with bundle.open(members[name]) as source, writable(partial), partial.open("wb") as out:
                        shutil.copyfileobj(source, out, _BLOCK)
    except zipfile.BadZipFile as error:
        raise ModelError(f"{archive}: not a complete zip file ({error}); remove it and fetch again") from error


def _safe_name(archive: Path, member: zipfile.ZipInfo) -> str:
    """File name of a member. Raises ModelError for a path that leaves the folder on any system."""
    posix, windows = PurePosixPath(member.filename), PureWindowsPath(member.filename)
    if ".." in posix.parts + windows.parts or posix.root or windows.anchor:
        raise ModelError(f"{archive}: member {member.filename!r} leaves the folder; do not use this file")
    return windows.name
