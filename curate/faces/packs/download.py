"""A URL -> a file, resumable; a zip -> its models, nothing outside the folder. Both leave whole files or none."""

import os
import re
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Collection
from email.message import Message
from http.client import HTTPException
from pathlib import Path, PurePosixPath, PureWindowsPath

from curate.errors import ModelError
from curate.listener import SILENT, Listener, progress

_BLOCK = 1 << 20
_TIMEOUT = 30.0  # seconds without a byte


def download(url: str, path: Path, listener: Listener = SILENT) -> None:
    """Fetch `url` into `path`. Bytes gather in `path` + ".part"; the next call goes on where one was cut off.

    Raises ModelError where the server cannot be reached, refuses, or ends early (the part is kept).
    """
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            if answer.status != 206:
                done = 0  # the server sends all of it
            total = _total(answer.headers, done)
            step = progress(listener, f"downloading {path.name}", total, "B")
            with part.open("ab" if done else "wb") as out, step as advance:
                advance(done)
                while block := answer.read(_BLOCK):
                    out.write(block)
                    done += len(block)
                    advance(len(block))
    except urllib.error.HTTPError as error:
        if error.code != 416 or _total(error.headers, 0) != done:
            part.unlink(missing_ok=error.code == 416)
            raise ModelError(f"{url}: the server answered {error.code} {error.reason}") from error
        total = done  # nothing was missing but the last step
    except (OSError, HTTPException) as error:
        raise ModelError(f"{url}: {getattr(error, 'reason', error) or type(error).__name__}") from error
    if total is not None and done != total:
        raise ModelError(f"{url}: cut off after {done:,} of {total:,} bytes; fetch again, it continues from there")
    os.replace(part, path)


def _total(headers: Message, start: int) -> int | None:
    """Bytes of the whole file by an answer's headers, of which the body begins at `start`."""
    if span := re.fullmatch(r"bytes .*/(\d+)", headers.get("Content-Range", "")):
        return int(span[1])
    length = headers.get("Content-Length")
    return start + int(length) if length else None


def unpack_models(archive: Path, folder: Path, wanted: Collection[str]) -> None:
    """Put every *.onnx of a zip, at its top or in a folder, into `folder`: all of them, or on an error none.

    A file that is there already stays. Raises ModelError for what is no zip, is damaged or lacks one of the `wanted`
    names, and for a member that would leave the folder.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            members = {_name(archive, member): member for member in bundle.infolist() if not member.is_dir()}
            if missing := sorted(set(wanted) - members.keys()):
                raise ModelError(f"{archive}: holds no {' and no '.join(missing)}; it is not the pack {folder.name}")
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as aside:
                fresh = [name for name in members if name.endswith(".onnx") and not (folder / name).exists()]
                for name in fresh:
                    with bundle.open(members[name]) as source, Path(aside, name).open("wb") as out:
                        shutil.copyfileobj(source, out, _BLOCK)
                for name in fresh:
                    os.replace(Path(aside, name), folder / name)
    except zipfile.BadZipFile as error:
        raise ModelError(f"{archive}: not a whole zip file ({error}); remove it and fetch again") from error


def _name(archive: Path, member: zipfile.ZipInfo) -> str:
    """The bare name of a member that stays inside the folder it is unpacked to, on any system."""
    posix, windows = PurePosixPath(member.filename), PureWindowsPath(member.filename)
    if ".." in posix.parts + windows.parts or posix.root or windows.anchor:
        raise ModelError(f"{archive}: member {member.filename!r} leaves the folder; do not use this file")
    return windows.name
