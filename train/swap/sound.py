"""Sound and subtitles of a swapped video: copied where the container takes their codec; other sound is re-encoded."""

import io
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec import Codec
from av.container import OutputContainer
from av.packet import Packet as _Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from train.marks.containers import VideoFormat

if TYPE_CHECKING:
    Packet = _Packet[Any]  # generic in PyAV's stubs only
else:
    Packet = _Packet

ENCODERS: dict[VideoFormat, str] = {
    "mp4": "aac",
    "mov": "aac",
    "matroska": "aac",
    "webm": "libopus",
    "avi": "libmp3lame",
    "flv": "aac",
}
"""Encoder of sound whose codec the container does not take."""

_AVI_ENCODERS = {"mp3": "libmp3lame", "ac3": "ac3"}
"""Codecs other than PCM and ADPCM that are copied into AVI, and their encoders."""

_CODEC_NAMES = {"aac": "AAC", "libopus": "Opus", "libmp3lame": "MP3"}
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
_FALLBACK_RATE = 48000


def has_decoder(stream: Stream) -> bool:
    """Whether FFmpeg can decode a stream."""
    return getattr(stream, "codec_context", None) is not None  # PyAV's stubs say never None


def fits(stream: AudioStream | SubtitleStream, format: VideoFormat) -> bool:
    """Whether packets of a stream can be copied into a container: its muxer accepts a header with that stream.

    AVI takes PCM, ADPCM, MP3 and AC-3 only; its muxer also accepts codecs without a defined layout in AVI, such as AAC.
    """
    name = _codec_name(stream)
    if format == "avi" and not (name in _AVI_ENCODERS or "pcm_" in name):
        return False
    container = av.open(io.BytesIO(), "w", format=format)
    try:
        add_copy(container, stream, format)
        container.start_encoding()
    except (ValueError, av.FFmpegError):
        return False
    return True


def add_copy(
    container: OutputContainer, source: AudioStream | SubtitleStream, format: VideoFormat
) -> AudioStream | SubtitleStream:
    """Add a stream for the copied packets of a source.

    Raises ValueError where the container does not take its codec.
    """
    encoder = _AVI_ENCODERS.get(_codec_name(source))
    if format == "avi" and encoder is not None and isinstance(source, AudioStream):
        # The header of an AVI holds the duration of a packet. With the block size of another AVI's header, FFmpeg
        # writes one for packets of any size in bytes, and players derive wrong times; an encoder sets no block size.
        context = source.codec_context
        return cast(AudioStream, container.add_stream(encoder, rate=context.sample_rate, layout=context.layout))
    return container.add_stream_from_template(source)


def _codec_name(stream: AudioStream | SubtitleStream) -> str:
    return str(stream.codec_context.codec.canonical_name) if has_decoder(stream) else ""


class SoundEncoder:
    """Decodes the packets of a stream and encodes them anew; times are kept.

    Args:
        source: The stream that is decoded.
        container: The container that gets a stream for it.
        format: Its format, which determines the codec.
    """

    def __init__(self, source: AudioStream, container: OutputContainer, format: VideoFormat) -> None:
        encoder = Codec(ENCODERS[format], "w")
        rate, channels = source.codec_context.sample_rate, source.codec_context.layout.nb_channels
        if encoder.audio_rates and rate not in encoder.audio_rates:
            rate = _FALLBACK_RATE
        layout = "stereo" if encoder.name == "libmp3lame" and channels > 2 else _LAYOUTS.get(channels, "stereo")
        stream = container.add_stream(encoder.name, rate=rate, layout=layout)
        self.stream = cast(AudioStream, stream)
        self.note = (
            f"sound ({source.codec_context.name}): the container does not take it, re-encoded to "
            f"{_CODEC_NAMES[encoder.name]}"
        )
        self.damaged = 0
        """Packets that could not be decoded."""
        self._source = source
        self._end = Fraction(0)

    def encode(self, packet: Packet) -> list[Packet]:
        """The encoded packets that a packet of the source completes."""
        try:
            return self._encode(cast(list[AudioFrame], packet.decode()))
        except (av.FFmpegError, ValueError):  # damaged, or the format of the samples changes
            self.damaged += 1
            return []

    def finish(self) -> list[Packet]:
        """The last packets: of the frames that the decoder still holds, and of the encoder."""
        try:
            encoded = self._encode(self._source.codec_context.decode(None))
        except (av.FFmpegError, ValueError):
            self.damaged += 1
            encoded = []
        return encoded + self.stream.encode(None)

    def _encode(self, frames: list[AudioFrame]) -> list[Packet]:
        encoded: list[Packet] = []
        for frame in frames:
            if frame.time_base is None:  # held back by the decoder until its end
                frame.time_base = cast(Fraction, self._source.time_base)
            if frame.pts is None:  # follows the previous frame
                frame.pts = round(self._end / frame.time_base)
            self._end = frame.pts * frame.time_base + Fraction(frame.samples, frame.sample_rate)
            encoded += self.stream.encode(frame)
        return encoded
