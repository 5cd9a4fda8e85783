"""Decoding in a process of its own, which can be killed: for codecs whose work no header tells, and after a crash.

The process decodes one photo after the other. It ends, and is replaced, when a photo takes more CPU or memory than its
pixels justify, or crashes it; the photo then has a reason, and the calling process goes on. Idle processes wait for the
next photo, one for each thread at most, and end with the calling process.
"""

import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

import numpy as np

from curate.decode.raster import Raster
from curate.errors import DecodeError

_WALL_SECONDS = 300
_END_SECONDS = 5
_MAX_CRASHES = 2

REQUEST = struct.Struct("<QQ?")
"""What precedes the bytes of a photo: their number, the limit on pixels, whether to scale down."""
BLOCK = struct.Struct("<Q")
"""What precedes each of the three blocks of an answer: its number of bytes."""
_PROGRAM = "import sys; sys.path[:] = {path!r}; from curate.decode.isolated_process import serve; serve()"

_idle: list["_Process"] = []
_lock = threading.Lock()
os.register_at_fork(after_in_child=_idle.clear)


def read_raster(data: bytes, max_pixels: int, shrink: bool) -> Raster:
    """Decode a photo in another process; arguments as of `curate.decode.photo.read_raster`.

    Raises DecodeError as that does, and for a photo that exceeds its limits ("too much work: ...") or kills two
    processes ("decoder crashed: SIGSEGV").
    """
    crashes = 0
    while True:
        process = _take()
        try:
            answer = process.ask(data, max_pixels, shrink)
        except _Ended as ended:
            crashes += 1
            if ended.signal == signal.SIGPROF:
                raise DecodeError("too much work: the decoder was stopped") from ended
            if crashes == _MAX_CRASHES:
                raise DecodeError(f"decoder crashed: {ended}") from ended
            continue
        except BaseException:  # Ctrl-C in the middle of an answer
            process.kill()
            raise
        with _lock:
            _idle.append(process)
        return answer()


def close() -> None:
    """End the idle processes and wait for them."""
    with _lock:
        processes, _idle[:] = list(_idle), []
    for process in processes:
        process.kill()


def _take() -> "_Process":
    with _lock:
        return _idle.pop() if _idle else _Process()


class _Ended(Exception):
    """The process has ended without an answer."""

    def __init__(self, signal_number: int) -> None:
        self.signal = signal_number
        super().__init__(signal.Signals(signal_number).name if signal_number > 0 else "no answer")


class _Process:
    def __init__(self) -> None:
        command = [sys.executable, "-c", _PROGRAM.format(path=sys.path)]
        # Inherited: Ctrl-C reaches the whole process group, and would print a traceback while the process starts.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def ask(self, data: bytes, max_pixels: int, shrink: bool) -> Callable[[], Raster]:
        """Send a photo and return its result: a function that returns a raster or raises DecodeError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(_WALL_SECONDS, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            self._process.stdin.write(REQUEST.pack(len(data), max_pixels, shrink))
            self._process.stdin.write(data)
            self._process.stdin.flush()
            head = json.loads(_read_block(self._process.stdout))
            profile, pixels = _read_block(self._process.stdout), _read_block(self._process.stdout)
        except (OSError, EOFError):
            raise _Ended(-self._wait()) from None
        finally:
            timer.cancel()
        return lambda: _raster(head, bytes(profile), pixels)

    def kill(self) -> None:
        """End the process and wait for it."""
        self._process.kill()
        self._wait()

    def _wait(self) -> int:
        """Wait for a process that has closed its pipe; return its status."""
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what was not sent yet
                pipe.close()  # type: ignore[union-attr]
        return self._process.wait()


def _raster(head: dict[str, Any], profile: bytes, pixels: bytearray) -> Raster:
    if "reason" in head:
        raise DecodeError(str(head["reason"]))
    array = np.frombuffer(pixels, np.uint8).reshape(head["shape"])
    return Raster(
        array,
        head["format"],
        head["orientation"],
        profile or None,
        tuple(head["notes"]),
        head["shrink"],
        head["jpeg_step"],
    )


def _read_block(pipe: IO[bytes]) -> bytearray:
    size = bytearray(BLOCK.size)
    _read_into(pipe, size)
    block = bytearray(BLOCK.unpack(size)[0])
    _read_into(pipe, block)
    return block


def _read_into(pipe: IO[bytes], block: bytearray) -> None:
    view = memoryview(block)
    while view:
        count = pipe.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        view = view[count:]
