"""Swapping videos: sound and timing are kept, damage and interrupts are survived, no unmarked file is left."""

import io
import json
from fractions import Fraction
from pathlib import Path

import av
import c2pa  # type: ignore[import-untyped]
import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame
from PIL import Image

from manifests.errors import OutputError
from tests.samples.listener import Recorder, Step
from tests.samples.swap import METADATA_ONLY, UNMARKED, StripesGenerator, detector, embedder, swapper
from tests.samples.videos import FACE, moving, pictures, sound_of, times_of, write_video
from train.errors import ConsentError, MarkError, TargetError
from train.marks.containers import VideoFormat
from train.marks.credentials.mark import ContentCredentials
from train.marks.credentials.signature import check_file
from train.marks.mark import Provenance
from train.marks.marker import Marker
from train.marks.marking import Marking
from train.marks.metadata.mark import AigcMetadata
from train.marks.verify import verify
from train.swap import video_writer
from train.swap.consent import Consent, Gallery
from train.swap.video import swap_video
from train.swap.video_reader import VideoReader, open_video
from train.swap.video_writer import FrameBatch

EMPTY = np.full((96, 96, 3), 120, np.uint8)


def test_every_frame_is_swapped_and_all_else_is_kept(tmp_path: Path) -> None:
    target = write_video(tmp_path / "clip.mp4", moving(10))
    out = tmp_path / "out"
    listener = Recorder()
    video = swap_video(target, out, swapper(StripesGenerator()), METADATA_ONLY, listener)
    assert (video.output, video.frames, video.frames_with_face, video.swapped) == (out / "clip.mp4", 10, 10, 10)
    assert not video.interrupted
    assert listener.steps == [Step("swapping", 10, "frames", done=10, finished=True)]
    assert times_of(video.output) == times_of(target)
    assert sound_of(video.output) == sound_of(target)
    before, after = pictures(target), pictures(video.output)
    face, corner = np.s_[50:70, 75:95], np.s_[120:, :60]
    for old, new in zip(before, after, strict=True):
        assert np.abs(old[face].astype(int) - new[face]).mean() > 10
        assert np.abs(old[corner].astype(int) - new[corner]).mean() < 5  # lost by two H.264 encodings
    with av.open(str(video.output)) as container:
        assert json.loads(container.metadata["AIGC"])["Label"] == "1"


@pytest.mark.parametrize("container", ["mp4", "avi"])
def test_credentials_name_the_target_and_the_sources(container: VideoFormat, tmp_path: Path) -> None:
    signed = write_video(tmp_path / f"clip.{container}", moving(2), [0, 1], base=Fraction(1, 25), sound_codec="mp3")
    source = tmp_path / "source.png"
    Image.fromarray(FACE).save(source)
    marker = Marker(Marking(7), marks=(AigcMetadata, ContentCredentials))
    marker.seal(signed, Provenance(), container)
    video = swap_video(signed, tmp_path / "out", swapper(), marker, sources=(source,))
    assert check_file(video.output).state == "trusted"
    with c2pa.Reader(str(video.output)) as reader:
        store = json.loads(reader.json())
    active = store["manifests"][store["active_manifest"]]
    relations = {part["title"]: part["relationship"] for part in active["ingredients"]}
    assert relations == {signed.name: "parentOf", "source.png": "componentOf"}
    assert len(store["manifests"]) == 2  # those of the target are part of it
    assert verify(video.output, (AigcMetadata, ContentCredentials)).state == "marked"
    changed = bytearray(video.output.read_bytes())
    changed[len(changed) // 2] ^= 1
    video.output.write_bytes(changed)
    assert check_file(video.output).state == "invalid"


def test_credentials_of_a_target_are_not_lost_silently(tmp_path: Path) -> None:
    signed = write_video(tmp_path / "clip.mp4", moving(2))
    marker = Marker(Marking(7), marks=(ContentCredentials,))
    marker.seal(signed, Provenance(), "mp4")
    other = signed.rename(tmp_path / "clip.avi")  # not an AVI by its content: becomes MKV
    video = swap_video(other, tmp_path / "out", swapper(), marker)
    assert video.notes == ("credentials of the target: not kept, matroska cannot carry them",)

    plain = write_video(tmp_path / "plain.avi", moving(2)).rename(tmp_path / "plain.wmv")  # the content decides
    assert swap_video(plain, tmp_path / "out", swapper(), marker).notes == ()


def test_lossless_codecs_show_no_other_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What remains is the conversion to RGB and back, and the swap by the identity generator.
    monkeypatch.setattr(video_writer, "_H264", ("libx264", {"qp": "0"}))
    target = write_video(tmp_path / "clip.mkv", moving(2), options={"qp": "0"}, sound=False)
    video = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    painted = swapper(StripesGenerator())(pictures(target))
    for old, new, paint in zip(pictures(target), pictures(video.output), painted, strict=True):
        converted = VideoFrame.from_ndarray(old, format="rgb24").reformat(format="yuv420p")
        expected = converted.to_ndarray(format="rgb24")
        touched = (paint.pixels != old).any(2).astype(np.uint8)
        outside = cv2.dilate(touched, np.ones((5, 5))) == 0  # half-size chroma crosses the edge
        assert np.abs(expected.astype(int) - new)[outside].max() <= 1
        assert 0.7 < outside.mean() < 1


def test_a_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    times = [0, 300, 1700, 1800, 5000, 5040, 9000]
    target = write_video(tmp_path / "phone.mp4", moving(7), times)
    video = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert times_of(video.output) == times_of(target)
    assert times_of(video.output)[2] == Fraction(1700, 12800)


def test_a_video_without_sound(tmp_path: Path) -> None:
    target = write_video(tmp_path / "still.mp4", moving(3), sound=False)
    video = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert sound_of(video.output) == []
    assert len(pictures(video.output)) == 3


def test_rotation_metadata_is_applied(tmp_path: Path) -> None:
    rotated = [np.ascontiguousarray(np.rot90(frame, -1)[:, 20:180]) for frame in moving(3)]
    target = write_video(tmp_path / "rotated.mp4", rotated, rotation=90)
    video = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert video.frames_with_face == 3  # faces are detected in upright frames
    for old, new in zip(pictures(target), pictures(video.output), strict=True):
        assert old.shape == new.shape == (160, 192, 3)
        assert np.abs(old.astype(int) - new).mean() < 5


def test_other_containers_become_mkv(tmp_path: Path) -> None:
    target = write_video(tmp_path / "old.ts", moving(2), sound=False)
    video = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert video.output.name == "old.ts.mkv"
    assert len(pictures(video.output)) == 2


@pytest.mark.parametrize(
    ("name", "codec", "sound_codec"),
    [
        ("old.avi", "mpeg4", "mp3"),
        ("camera.avi", "libx264", "pcm_s16le"),
        ("phone.AVI", "mjpeg", "adpcm_ms"),
        ("a.flv", "libx264", "aac"),
    ],
)
def test_avi_and_flv_keep_their_container(name: str, codec: str, sound_codec: str, tmp_path: Path) -> None:
    times = [0, 1, 2, 3, 7, 8, 9, 10]  # three frames are missing
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    (tmp_path / "in").mkdir()
    target = write_video(
        tmp_path / "in" / name, moving(8), times, base=Fraction(1, 25), codec=codec, sound_codec=sound_codec,
        options={"bf": "0"}, pix_fmt=pix_fmt,
    )  # fmt: skip
    video = swap_video(target, tmp_path, swapper(), METADATA_ONLY)
    assert (video.output.name, video.frames, video.damaged, video.notes) == (name, 8, 0, ())
    (container, before), (output_container, after) = read_times(target), read_times(video.output)
    assert container == output_container == name[-3:].lower()
    assert after[4] - after[3] == pytest.approx(0.16)
    old, new = sound_of(target), sound_of(video.output)
    assert [sound for _, sound in new] == [sound for _, sound in old]
    # FLV has no negative times: all streams may be later by the same.
    delay = after[0] - before[0] if container == "flv" else 0.0
    assert after == pytest.approx([time + delay for time in before], abs=0.002)
    assert [time for time, _ in new] == pytest.approx([time + delay for time, _ in old], abs=0.003)


def test_reordered_frames_of_an_avi_are_kept(tmp_path: Path) -> None:
    target = write_video(
        tmp_path / "camera.avi", moving(12), list(range(12)), base=Fraction(1, 25), options={"bf": "2"}, sound=False
    )
    video = swap_video(target, tmp_path / "out", swapper(), METADATA_ONLY)
    assert (video.frames, video.damaged) == (12, 0)
    assert np.diff(read_times(video.output)[1])[1:] == pytest.approx([0.04] * 10)  # the first frame of an AVI is at 0
    for old, new in zip(pictures(target), pictures(video.output), strict=True):
        assert np.abs(old.astype(int) - new).mean() < 5


def read_times(path: Path) -> tuple[str, list[float]]:
    """The container, and the seconds of the frames, as the swap reads them."""
    with open_video(path) as container:
        reader = VideoReader(container, path)
        batches = [item for item in reader.items() if isinstance(item, FrameBatch)]
        return container.format.name, [reader.seconds(pts) for batch in batches for pts in batch.pts]


def decoded_sound(path: Path) -> tuple[str, np.ndarray]:
    """The codec of the sound, and its samples in [-1, 1]."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        parts = [frame.to_ndarray().mean(0) for frame in container.decode(stream)]
        return stream.codec_context.name, np.concatenate(parts)


def test_sound_that_the_container_does_not_take_is_re_encoded(tmp_path: Path) -> None:
    written = write_video(
        tmp_path / "old.avi", moving(20), base=Fraction(1, 25), times=list(range(20)), sound_codec="adpcm_ms"
    )
    target = written.rename(tmp_path / "old.mkv")
    video = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert video.notes == ("sound (adpcm_ms): the container does not take it, re-encoded to AAC",)
    (old_codec, old), (codec, new) = decoded_sound(target), decoded_sound(video.output)
    assert (old_codec, codec) == ("adpcm_ms", "aac")
    old = old / 32768 if np.abs(old).max() > 1 else old
    assert abs(len(new) - len(old)) <= 2 * 1024
    assert np.abs(new).max() == pytest.approx(np.abs(old).max(), rel=0.2)
    # The tone has the same frequency.
    peak = np.abs(np.fft.rfft(new[2048:8192])).argmax()
    assert abs(int(np.abs(np.fft.rfft(old[2048:8192])).argmax()) - peak) <= 1


def test_sound_of_a_webm_that_is_another_format_becomes_opus(tmp_path: Path) -> None:
    target = write_video(tmp_path / "a.mkv", moving(4)).rename(tmp_path / "a.webm")
    video = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert video.notes == ("sound (aac): the container does not take it, re-encoded to Opus",)
    assert decoded_sound(video.output)[0] == "opus"


def test_sound_without_a_decoder_is_left_out(tmp_path: Path) -> None:
    target = write_video(tmp_path / "a.mp4", moving(4))
    target.write_bytes(target.read_bytes().replace(b"mp4a", b"zzzz").replace(b"esds", b"zzzs"))
    video = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert video.notes == ("audio stream 1 does not fit into the container: left out",)
    assert sound_of(video.output) == []


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_odd_sizes_are_padded_to_what_players_show(tmp_path: Path, suffix: str) -> None:
    codec = {"mp4": "libx264", "webm": "libvpx-vp9"}[suffix]
    frames = [frame[:161, :191] for frame in moving(3)]
    target = write_video(
        tmp_path / f"odd.{suffix}", frames, pix_fmt="yuv444p", codec=codec, sound=False, base=Fraction(1, 1000),
        times=[0, 40, 80],
    )  # fmt: skip
    video = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert video.notes[0].startswith("odd size 191x161: padded to 192x162")
    with av.open(str(video.output)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    for old, new in zip(pictures(target), pictures(video.output), strict=True):
        assert new.shape == (162, 192, 3)
        assert np.abs(old.astype(int) - new[:161, :191]).mean() < 5
        assert np.abs(new[161].astype(int) - new[160]).mean() < 5


def test_lost_transparency_is_noted(tmp_path: Path) -> None:
    target = write_video(
        tmp_path / "alpha.mov", moving(2), codec="qtrle", pix_fmt="argb", sound=False, options={"g": "4"}
    )
    video = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert video.notes == ("transparency: not kept, written opaque",)


def test_lost_transparency_of_webm_is_noted(tmp_path: Path) -> None:
    target = write_video(
        tmp_path / "alpha.webm", moving(2), codec="libvpx-vp9", pix_fmt="yuva420p", sound=False,
        base=Fraction(1, 1000), times=[0, 40],
    )  # fmt: skip
    video = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert video.notes == ("transparency: not kept, written opaque",)


def test_the_place_of_the_recording_is_removed(tmp_path: Path) -> None:
    tags = {
        "location": "+48.8577+002.2950/",
        "com.apple.quicktime.location.ISO6709": "+48.8577+002.2950/",
        "title": "x",
    }
    target = write_video(tmp_path / "phone.mov", moving(2), sound=False, tags=tags)
    assert b"48.8577" in target.read_bytes()
    video = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert video.notes == ("GPS location: removed",)
    assert b"48.8577" not in video.output.read_bytes()
    with av.open(str(video.output)) as container:
        assert container.metadata["title"] == "x"
    kept = swap_video(target, tmp_path / "kept", swapper(), UNMARKED, keep_location=True)
    assert kept.notes == ()
    assert b"48.8577" in kept.output.read_bytes()


@pytest.mark.parametrize("name", ["x" * 251 + ".mp4", "\u540d" * 83 + ".avi"])
def test_file_names_of_255_bytes(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / "a.mkv", moving(20), sound=False).rename(tmp_path / name)
    video = swap_video(tmp_path / name, tmp_path / "out", swapper(), UNMARKED)
    assert len(video.output.name.encode()) > 240
    assert len(pictures(video.output)) == 20
    shorter = swap_video(tmp_path / name, tmp_path / "out", swapper(), UNMARKED, interrupted=lambda: True).output
    assert ".until-0.6s." in shorter.name
    assert {path.name for path in (tmp_path / "out").iterdir()} == {video.output.name, shorter.name}


def test_an_interrupt_leaves_a_shorter_complete_marked_video(tmp_path: Path) -> None:
    target = write_video(tmp_path / "long.mp4", moving(20))
    out = tmp_path / "out"
    video = swap_video(target, out, swapper(), METADATA_ONLY, interrupted=lambda: True)
    assert video.interrupted
    assert video.frames == 16  # the first batch
    assert [path.name for path in out.iterdir()] == ["long.until-0.6s.mp4"]
    assert times_of(video.output) == times_of(target)[:16]
    assert sound_of(video.output) == [packet for packet in sound_of(target) if packet[0] < 0.64]
    with av.open(str(video.output)) as container:
        assert json.loads(container.metadata["AIGC"])["Label"] == "1"


def test_a_truncated_video_is_swapped_up_to_its_end(tmp_path: Path) -> None:
    target = write_video(tmp_path / "a.mkv", moving(12), sound=False)
    data = bytearray(target.read_bytes())
    target.write_bytes(data[: len(data) * 2 // 3])  # cut off in the middle of a frame
    video = swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert 2 <= video.frames < 12
    assert len(pictures(video.output)) == video.frames


def test_files_that_are_not_videos_are_errors(tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = write_video(tmp_path / "whole.mp4", moving(4), sound=False).read_bytes()
    tone = io.BytesIO()
    with av.open(tone, "w", format="matroska") as container:
        audio = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        part = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        part.sample_rate = 8000
        container.mux(audio.encode(part))
    for name, data, message in [
        ("cut.mp4", whole[: len(whole) // 2], "cannot be read as a photo or video"),
        ("text.mp4", b"not a video at all" * 99, "cannot be read as a photo or video"),
        ("empty.mp4", b"", "cannot be read as a photo or video"),
        ("tone.mkv", tone.getvalue(), "no video stream in it"),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(TargetError, match=message):
            swap_video(tmp_path / name, out, swapper(), UNMARKED)
    assert not list(out.glob("*")) if out.exists() else True


def test_a_video_without_a_face_is_not_written(tmp_path: Path) -> None:
    target = write_video(tmp_path / "wall.mp4", [EMPTY] * 4)
    with pytest.raises(TargetError, match="no face was found in any frame; nothing was written"):
        swap_video(target, tmp_path / "out", swapper(), UNMARKED)
    assert not list((tmp_path / "out").iterdir())


def test_an_excluded_person_is_an_error_and_no_file(tmp_path: Path) -> None:
    target = write_video(tmp_path / "clip.mp4", moving(3))
    embeddings = detector()([FACE]).embed([FACE], embedder()).numpy()
    refusing = swapper(consent=Consent(Gallery(embeddings, ("ann/1.jpg",), 0.9)))
    with pytest.raises(ConsentError, match=r"clip.mp4, at 0.0 s: a face matches ann/1.jpg of --exclude"):
        swap_video(target, tmp_path / "out", refusing, UNMARKED)
    assert not list((tmp_path / "out").iterdir())


def test_lost_metadata_is_an_error_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write_video(tmp_path / "clip.mp4", moving(2), sound=False)
    monkeypatch.setattr(AigcMetadata, "tags", lambda self, container: {"AIGC": "x\0y"})
    with pytest.raises(MarkError, match="did not keep the mark 'AIGC'"):
        swap_video(target, tmp_path / "out", swapper(), METADATA_ONLY)
    assert not list((tmp_path / "out").iterdir())


def test_an_output_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    target = write_video(tmp_path / "clip.mp4", moving(2), sound=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*choose another --out"):
        swap_video(target, tmp_path / "file", swapper(), UNMARKED)
