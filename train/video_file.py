"""Opens videos of unknown origin: from a file object, in containers that hold their own data, nothing else.

FFmpeg takes a name such as `http:HOST:1.mp4` for an address, and text that begins like a playlist (HLS, DASH, SDP,
concat) for a list of other files and addresses. Neither is opened here: FFmpeg sees bytes instead of a name, may use no
protocol, and only the demuxers of `_VIDEO_FORMATS` are tried.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext

from curate.decode import MAX_PIXELS

_VIDEO_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpeg", "mpegts", "mpegvideo", "asf", "flv", "ogg", "mxf", "nut",
    "ivf", "dv", "h264", "hevc", "m4v", "obu", "av1", "rm", "wtv", "yuv4mpegpipe", "mjpeg",
)  # fmt: skip
"""Names of the demuxers, as FFmpeg lists them, of containers that hold the data of one video."""

_PHOTO_FORMATS = (
    "ico", "fits", "apng", "alias_pix", "brender_pix", *(f"{name}_pipe" for name in (
        "bmp", "cri", "dds", "dpx", "exr", "gem", "gif", "hdr", "j2k", "jpeg", "jpegls", "jpegxl", "pam", "pbm", "pcx",
        "pfm", "pgm", "pgx", "phm", "photocd", "pictor", "png", "ppm", "psd", "qdraw", "qoi", "sgi", "sunrast", "tiff",
        "vbn", "webp", "xbm", "xpm", "xwd",
    ))
)  # fmt: skip
"""Demuxers of single photos: they are recognised so that a message can name the format; they are no videos."""

_OPTIONS = {
    "format_whitelist": ",".join(_VIDEO_FORMATS + _PHOTO_FORMATS),
    "protocol_whitelist": "none",  # the name of no protocol
    "max_streams": "256",
    "max_pixels": str(MAX_PIXELS),  # of the decoders that find out what the streams are
}
_BUFFER_BYTES = 1 << 18


class NotVideoError(ValueError):
    """The file is text, a playlist, or of another kind that FFmpeg would read but that is no container of a video."""


def photo_format(container: InputContainer) -> str | None:
    """The name of the photo format that FFmpeg has recognised; None for videos."""
    name = str(container.format.name)
    return name.removesuffix("_pipe") if name in _PHOTO_FORMATS else None


class _Bytes:
    """The bytes of a file, without its name."""

    def __init__(self, file: io.FileIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


@contextmanager
def open_video_file(path: Path) -> Iterator[InputContainer]:
    """Context manager: open a video for reading. Frames of more than MAX_PIXELS are damaged ones.

    Raises:
        OSError: The file cannot be read, or is no regular file.
        NotVideoError: It is of another format than `_VIDEO_FORMATS` and `_PHOTO_FORMATS`.
        av.FFmpegError, ValueError: It is damaged.
    """
    # O_NONBLOCK: opening a pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        if not path.is_file():
            raise OSError(None, "not a regular file")
        try:
            container = av.open(_Bytes(file), "r", options=_OPTIONS, buffer_size=_BUFFER_BYTES)
        except av.ArgumentError as error:  # what FFmpeg returns for formats that are not in the list
            raise NotVideoError("not a video in a supported container") from error
        with container:
            for stream in container.streams.video:
                context: VideoCodecContext | None = stream.codec_context  # None without a decoder
                if context is not None:
                    context.options = {"max_pixels": str(MAX_PIXELS)}
            yield container
