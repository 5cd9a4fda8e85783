"""The process that `curate.decode.isolated` starts: decodes photos within limits on CPU and memory."""

import json
import os
import resource
import signal
from pathlib import Path

import numpy as np

from curate.decode import raster as rasters
from curate.decode.boundary import decoder_errors
from curate.decode.isolated import BLOCK, REQUEST
from curate.decode.photo import read_raster_here
from curate.errors import DecodeError

CPU_SECONDS = 1.5
CPU_SECONDS_PER_PIXEL = 0.17e-6
"""Limit on the CPU of one photo: a HEIC of 50 megapixels takes 2 to 4 s, a lossless JPEG XL 5 s; 10 s are allowed."""
MEMORY_BYTES = 300_000_000
MEMORY_PER_PIXEL = 12
"""Limit on the memory of one photo, beside that of the idle process; by the limit on pixels."""


def serve() -> None:
    """Answer the calling process until it closes the pipe. The program of the isolated process."""
    requests, answers = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for standard in (1, 2):  # what a library prints is no answer, and no message
        os.dup2(nowhere, standard)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    rasters.on_size = lambda width, height: _limit_cpu(CPU_SECONDS + CPU_SECONDS_PER_PIXEL * width * height)
    statistics = Path("/proc/self/statm")  # Linux; elsewhere memory has no limit
    idle_bytes = int(statistics.read_text().split()[0]) * resource.getpagesize() if statistics.exists() else None
    while True:
        head = requests.read(REQUEST.size)
        if len(head) < REQUEST.size:
            return
        size, max_pixels, shrink = REQUEST.unpack(head)
        data = requests.read(size)
        if idle_bytes is not None:
            _limit_memory(idle_bytes + size + MEMORY_BYTES + MEMORY_PER_PIXEL * max_pixels)
        _limit_cpu(CPU_SECONDS)
        try:
            with decoder_errors():
                raster = read_raster_here(data, max_pixels, shrink)
        except DecodeError as error:
            blocks: list[bytes | memoryview] = [json.dumps({"reason": str(error)}).encode(), b"", b""]
        else:
            values = {"shape": raster.pixels.shape, "format": raster.format, "orientation": raster.orientation}
            values |= {"notes": raster.notes, "shrink": raster.shrink, "jpeg_step": raster.jpeg_step}
            blocks = [json.dumps(values).encode(), raster.profile or b"", np.ascontiguousarray(raster.pixels).data]
        _limit_cpu(0)
        for block in blocks:
            answers.write(BLOCK.pack(memoryview(block).nbytes))
            answers.write(block)
        answers.flush()


def _limit_memory(limit: int) -> None:
    """Limit the addresses of this process, in bytes, within the limit that it has been given."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    largest = 1 << 62 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_AS, (min(limit, largest), hard))


def _limit_cpu(seconds: float) -> None:
    """Let this process be ended by SIGPROF after so much CPU of all its threads; 0: never."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
