"""Requests to object stores: lists, reads of ranges, puts of whole objects. Each is repeated within limits.

The client is `pyarrow.fs`, which has all three stores. Credentials and endpoints come from the environment, as for
other programs: AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, AWS_REGION, GOOGLE_APPLICATION_CREDENTIALS,
AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY. A put is one whole object, or none.
"""

import errno
import mmap
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from manifests.locations import ObjectPath

Answer = TypeVar("Answer")

MAX_ATTEMPTS = 6
FIRST_DELAY = 0.2
"""Seconds before the second attempt, doubled before each further one, times a random number from 0.5 to 1.5."""
_TIMEOUT = 30.0  # seconds, of a connection and of an answer

_PERMANENT = ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "NO_SUCH_BUCKET", "INVALID_BUCKET")
_CREDENTIALS = "check the credentials in the environment (AWS_ACCESS_KEY_ID, ...)"


_WITHOUT_CHECKSUMS = "set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object, or a folder. name: relative to the folder that was listed. mtime_ns: 0 of a folder."""

    name: str
    size: int
    mtime_ns: int
    is_folder: bool


class ObjectFile:
    """An open object, read by ranges. May be read by several threads at once."""

    def __init__(self, path: "ObjectPath") -> None:
        self.path = path
        self._file = attempt(path, lambda: _filesystem(path).open_input_file(path.key))
        self.size = int(self._file.size())

    def pread(self, size: int, offset: int) -> bytes:
        """Read `size` bytes at `offset`, fewer at the end of the object."""
        expected = max(0, min(size, self.size - offset))
        if not expected:
            return b""

        def read() -> bytes:
            data: bytes = self._file.read_at(expected, offset)
            if len(data) != expected:
                raise OSError(f"an answer of {len(data)} bytes to a request of {expected}")
            return data

        return attempt(self.path, read)

    def close(self) -> None:
        self._file.close()


def read(path: "ObjectPath") -> bytes:
    """Read a whole object."""
    file = ObjectFile(path)
    try:
        return file.pread(file.size, 0)
    finally:
        file.close()


def put(source: Path, path: "ObjectPath") -> None:
    """Write a local file as an object, in one request or in parts that become visible together.

    Raises OSError as `attempt`, and where the server has stored another number of bytes.
    """
    size = source.stat().st_size

    def write() -> None:
        # One call: a stream that is closed after some of the bytes would become an object of these.
        with source.open("rb") as file, _filesystem(path).open_output_stream(path.key) as stream:
            stream.write(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")

    attempt(path, write)
    stored = describe(path).size
    if stored != size:
        text = f"{stored} bytes are stored of {size}: checksums of uploads may be unsupported; {_WITHOUT_CHECKSUMS}"
        raise OSError(errno.EREMOTEIO, text, str(path))


def remove(path: "ObjectPath") -> None:
    """Remove an object. Raises FileNotFoundError."""
    attempt(path, lambda: _filesystem(path).delete_file(path.key))


def describe(path: "ObjectPath") -> ObjectInfo:
    """Describe an object or folder. Raises FileNotFoundError where there is neither."""
    from pyarrow.fs import FileType

    info = attempt(path, lambda: _filesystem(path).get_file_info(path.key))
    if info.type == FileType.NotFound:
        raise FileNotFoundError(2, "No such object", str(path))
    return _info(info, path.name)


def list_folder(path: "ObjectPath", *, deep: bool = False) -> Iterator[ObjectInfo]:
    """List the objects and folders directly in a folder; with `deep` all objects below it."""
    from pyarrow.fs import FileSelector

    selector = FileSelector(path.key, recursive=deep)
    start = len(path.key) + 1
    for info in attempt(path, lambda: _filesystem(path).get_file_info(selector)):
        described = _info(info, info.path[start:])
        if described.name and not (deep and described.is_folder):
            yield described


def attempt(path: "ObjectPath", request: Callable[[], Answer]) -> Answer:
    """Make a request, up to MAX_ATTEMPTS times.

    Raises FileNotFoundError, or OSError whose `strerror` is one line: the number of attempts and the last reason.
    """
    delay = FIRST_DELAY
    for number in range(1, MAX_ATTEMPTS + 1):
        try:
            return request()
        except FileNotFoundError:
            raise
        except OSError as error:
            reason = _reason(error)
            if any(code in reason for code in _PERMANENT):
                raise OSError(errno.EREMOTEIO, f"refused ({reason}): {_CREDENTIALS}", str(path)) from error
            if number == MAX_ATTEMPTS:
                raise OSError(errno.EREMOTEIO, f"gave up after {number} attempts ({reason})", str(path)) from error
            time.sleep(delay * random.uniform(0.5, 1.5))  # many workers must not repeat at the same moment
            delay *= 2
    raise AssertionError


def _reason(error: OSError) -> str:
    """Shorten pyarrow's message to one line, without the request's number, which differs each time."""
    text = " ".join(str(error).split())
    return text.partition(" (Request ID")[0][-300:]


def _info(info: Any, name: str) -> ObjectInfo:
    from pyarrow.fs import FileType

    folder = info.type == FileType.Directory
    return ObjectInfo(name, 0 if folder else int(info.size), 0 if folder else int(info.mtime_ns or 0), folder)


def _filesystem(path: "ObjectPath") -> Any:
    # A client does not survive a fork.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return _open_filesystem(path.scheme, path.parts[1] if len(path.parts) > 1 else "", endpoint, os.getpid())


@lru_cache(maxsize=16)
def _open_filesystem(scheme: str, bucket: str, endpoint: str | None, process: int) -> Any:
    import pyarrow.fs as pf

    if scheme == "gs":
        return pf.GcsFileSystem(retry_time_limit=None)
    if scheme == "az":
        account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
        return pf.AzureFileSystem(account, account_key=os.environ.get("AZURE_STORAGE_ACCOUNT_KEY"))
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and endpoint is None:
        with suppress(OSError):
            region = pf.resolve_s3_region(bucket)
    return pf.S3FileSystem(
        endpoint_override=endpoint,
        region=region,
        connect_timeout=_TIMEOUT,
        request_timeout=_TIMEOUT,
        retry_strategy=pf.AwsStandardS3RetryStrategy(max_attempts=1),  # `attempt` repeats
    )
