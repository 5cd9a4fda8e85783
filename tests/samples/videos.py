"""Small videos with a moving face, and readers of their frames, times and sound, for the tests of swapping."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from tests.samples.swap import ASTRONAUT, Pixels, pixels, smaller

FACE = smaller(pixels(ASTRONAUT), 0.375)
"""192 x 192 px, one face, 38 px wide."""


def write_video(
    path: Path,
    frames: list[Pixels],
    times: list[int] | None = None,
    *,
    sound: bool = True,
    rotation: int = 0,
    base: Fraction = Fraction(1, 12800),
    options: dict[str, str] | None = None,
    codec: str = "libx264",
    sound_codec: str = "aac",
    pix_fmt: str = "yuv420p",
    tags: dict[str, str] | None = None,
) -> Path:
    """Write a video with a tone of the same length; returns `path`.

    times: presentation times in units of `base`; None for 25 frames/s. tags: container metadata.
    """
    times = times or [512 * k for k in range(len(frames))]
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"} if tags else {}) as container:
        container.metadata.update(tags or {})
        video = container.add_stream(codec, rate=25, options=options or {"crf": "12", "g": "4"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = pix_fmt
        video.time_base = video.codec_context.time_base = base
        if rotation:
            video.set_display_rotation(rotation)
        audio = container.add_stream(sound_codec, rate=16000, layout="mono") if sound else None
        for frame_pixels, pts in zip(frames, times, strict=True):
            frame = VideoFrame.from_ndarray(frame_pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = pts, base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            samples = round(float(times[-1] * base) * 16000) + 640
            tone = (np.sin(np.arange(samples) / 9) * 9000).astype(np.int16)
            for start in range(0, samples, 1024):
                part = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="s16", layout="mono")
                part.sample_rate, part.pts, part.time_base = 16000, start, Fraction(1, 16000)
                container.mux(audio.encode(part))
            container.mux(audio.encode(None))
    return path


def times_of(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [frame.pts * stream.time_base for frame in container.decode(stream)]


def pictures(path: Path) -> list[Pixels]:
    with av.open(str(path)) as container:
        return [
            np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
            for frame in container.decode(video=0)
        ]


def sound_of(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        packets = [packet for packet in container.demux(audio=0) if packet.dts is not None]
        return [(float(packet.pts * packet.time_base), bytes(packet)) for packet in packets]


def moving(count: int) -> list[Pixels]:
    return [np.ascontiguousarray(np.roll(FACE, k, 1)) for k in range(count)]
