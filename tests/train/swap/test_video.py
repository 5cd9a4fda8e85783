"""Videos: frames swapped, sound and timing as they were, damage and Ctrl-C survived; never an unmarked file."""

import io
import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame

from manifests.errors import OutputError
from tests.samples.swap import (
    ASTRONAUT,
    METADATA_ONLY,
    UNMARKED,
    Paint,
    Pixels,
    embedder,
    finder,
    pixels,
    smaller,
    swapper,
)
from train.errors import ConsentError, MarkError, TargetError
from train.marks.metadata.mark import AigcMetadata
from train.swap import clip_writer
from train.swap.consent import Consent, Gallery
from train.swap.video import swap_video

FACE = smaller(pixels(ASTRONAUT), 0.375)  # 192 x 192 px, the face 38 px wide
EMPTY = np.full((96, 96, 3), 120, np.uint8)


def write_video(
    path: Path,
    frames: list[Pixels],
    times: list[int] | None = None,
    *,
    sound: bool = True,
    rotation: int = 0,
    base: Fraction = Fraction(1, 12800),
    options: dict[str, str] | None = None,
) -> Path:
    """H.264, 25 frames/s unless `times`, in units of `base`, says otherwise; and a tone of the same length."""
    times = times or [512 * k for k in range(len(frames))]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options=options or {"crf": "12", "g": "4"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv420p"
        video.time_base = video.codec_context.time_base = base
        if rotation:
            video.set_display_rotation(rotation)
        audio = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        for frame_pixels, pts in zip(frames, times, strict=True):
            frame = VideoFrame.from_ndarray(frame_pixels, format="rgb24").reformat(format="yuv420p")
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


def test_every_frame_is_swapped_and_all_else_stays(tmp_path: Path) -> None:
    target = write_video(tmp_path / "clip.mp4", moving(10))
    out = tmp_path / "out"
    told: list[tuple[int, int]] = []
    clip = swap_video(target, out, swapper(Paint()), METADATA_ONLY, lambda *status: told.append(status))
    assert (clip.output, clip.frames, clip.with_face, clip.swapped) == (out / "clip.mp4", 10, 10, 10)
    assert not clip.stopped
    assert told[-1] == (10, 10)
    assert times_of(clip.output) == times_of(target)
    assert sound_of(clip.output) == sound_of(target)
    before, after = pictures(target), pictures(clip.output)
    face, corner = np.s_[50:70, 75:95], np.s_[120:, :60]
    for old, new in zip(before, after, strict=True):
        assert np.abs(old[face].astype(int) - new[face]).mean() > 10
        assert np.abs(old[corner].astype(int) - new[corner]).mean() < 5  # what two H.264 encodings lose
    with av.open(str(clip.output)) as container:
        assert json.loads(container.metadata["AIGC"])["Label"] == "1"


def test_the_pipeline_itself_adds_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Both encodings lossless: what is left is the way to RGB and back, and the swap by the identity.
    monkeypatch.setattr(clip_writer, "_H264", ("libx264", {"qp": "0"}))
    target = write_video(tmp_path / "clip.mkv", moving(2), options={"qp": "0"}, sound=False)
    clip = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    painted = swapper(Paint())(pictures(target))
    for old, new, paint in zip(pictures(target), pictures(clip.output), painted, strict=True):
        there_and_back = VideoFrame.from_ndarray(old, format="rgb24").reformat(format="yuv420p")
        expected = there_and_back.to_ndarray(format="rgb24")
        touched = (paint.pixels != old).any(2).astype(np.uint8)
        outside = cv2.dilate(touched, np.ones((5, 5))) == 0  # half-size chroma reaches over the edge
        assert np.abs(expected.astype(int) - new)[outside].max() <= 1
        assert 0.7 < outside.mean() < 1


def test_a_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    times = [0, 300, 1700, 1800, 5000, 5040, 9000]
    target = write_video(tmp_path / "phone.mp4", moving(7), times)
    clip = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert times_of(clip.output) == times_of(target)
    assert times_of(clip.output)[2] == Fraction(1700, 12800)


def test_a_video_without_sound(tmp_path: Path) -> None:
    target = write_video(tmp_path / "still.mp4", moving(3), sound=False)
    clip = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert sound_of(clip.output) == []
    assert len(pictures(clip.output)) == 3


def test_a_turned_video_is_shown_the_same_way(tmp_path: Path) -> None:
    lying = [np.ascontiguousarray(np.rot90(frame, -1)[:, 20:180]) for frame in moving(3)]
    target = write_video(tmp_path / "turned.mp4", lying, rotation=90)
    clip = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert clip.with_face == 3  # upright faces are found
    for old, new in zip(pictures(target), pictures(clip.output), strict=True):
        assert old.shape == new.shape == (160, 192, 3)
        assert np.abs(old.astype(int) - new).mean() < 5


def test_other_containers_become_mkv(tmp_path: Path) -> None:
    target = write_video(tmp_path / "old.avi", moving(2), base=Fraction(1, 25), times=[0, 1], sound=False)
    clip = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert clip.output.name == "old.avi.mkv"
    assert len(pictures(clip.output)) == 2


def test_ctrl_c_leaves_a_shorter_whole_marked_video(tmp_path: Path) -> None:
    target = write_video(tmp_path / "long.mp4", moving(20))
    out = tmp_path / "out"
    clip = swap_video(target, out, swapper(), METADATA_ONLY, stop=lambda: True)
    assert clip.stopped
    assert clip.frames == 16  # the first batch
    assert [path.name for path in out.iterdir()] == ["long.until-0.6s.mp4"]
    assert times_of(clip.output) == times_of(target)[:16]
    assert sound_of(clip.output) == [packet for packet in sound_of(target) if packet[0] < 0.64]
    with av.open(str(clip.output)) as container:
        assert json.loads(container.metadata["AIGC"])["Label"] == "1"


def test_a_damaged_place_is_passed_over_and_counted(tmp_path: Path) -> None:
    target = write_video(tmp_path / "a.mkv", moving(12), sound=False)
    data = bytearray(target.read_bytes())
    target.write_bytes(data[: len(data) * 2 // 3])  # cut off in the middle of a frame
    clip = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert 2 <= clip.frames < 12
    assert len(pictures(clip.output)) == clip.frames


def test_what_is_no_video_is_one_clear_error(tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = write_video(tmp_path / "whole.mp4", moving(4), sound=False).read_bytes()
    tone = io.BytesIO()
    with av.open(tone, "w", format="wav") as container:
        audio = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        part = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        part.sample_rate = 8000
        container.mux(audio.encode(part))
    for name, data, words in [
        ("cut.mp4", whole[: len(whole) // 2], "cannot be read as a photo or video"),
        ("text.mp4", b"not a video at all" * 99, "cannot be read as a photo or video"),
        ("empty.mp4", b"", "cannot be read as a photo or video"),
        ("tone.wav", tone.getvalue(), "there is no video in it"),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(TargetError, match=words):
            swap_video(tmp_path / name, out, swapper(), UNMARKED)
    assert not list(out.glob("*")) if out.exists() else True


def test_a_video_without_a_face_is_not_written(tmp_path: Path) -> None:
    target = write_video(tmp_path / "wall.mp4", [EMPTY] * 4)
    with pytest.raises(TargetError, match="no face was found in any frame; nothing was written"):
        swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert not list((tmp_path / "out").iterdir())


def test_somebody_excluded_ends_it(tmp_path: Path) -> None:
    target = write_video(tmp_path / "clip.mp4", moving(3))
    vectors = finder()([FACE]).embed([FACE], embedder()).numpy()
    refusing = swapper(consent=Consent(Gallery(vectors, ("her/1.jpg",), 0.9)))
    with pytest.raises(ConsentError, match=r"clip.mp4, at 0.0 s: a face in it matches her/1.jpg of --exclude"):
        swap_video(target, tmp_path / "out", refusing, UNMARKED)
    assert not list((tmp_path / "out").iterdir())


def test_metadata_that_gets_lost_is_an_error_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write_video(tmp_path / "clip.mp4", moving(2), sound=False)
    monkeypatch.setattr(AigcMetadata, "tags", lambda self, container: {"AIGC": "x\0y"})
    with pytest.raises(MarkError, match="did not keep the mark 'AIGC'"):
        swap_video(target, tmp_path / "out", swapper(), METADATA_ONLY)
    assert not list((tmp_path / "out").iterdir())


def test_an_output_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    target = write_video(tmp_path / "clip.mp4", moving(2), sound=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*choose another --out"):
        swap_video(target, tmp_path / "file", swapper(), UNMARKED)
