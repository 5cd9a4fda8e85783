"""`simswap swap` and `simswap export` as they are called: marked results, one line and a code for each mistake."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.decode import decode
from curate.program import Interrupted
from manifests.errors import OutputError, SwapsetError
from tests.samples.swap import ASTRONAUT, GROUP, pixels, smaller, write_checkpoint
from tests.train.swap.test_video import moving, write_video
from train.commands import swapping as cli
from train.commands.swapping import Label, Part
from train.errors import ConsentError, SourceFaceError, TargetError
from train.marks.verify import verify
from train.swap import album, export, video
from train.swap.stopping import gently

ONE = smaller(pixels(ASTRONAUT), 0.625)  # 320 x 320 px


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates of the test's own."""
    monkeypatch.setenv("SWAPSET_HOME", str(tmp_path / "home"))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "run.safetensors")
    return tmp_path / "run.safetensors"


def swap(checkpoint: Path, target: Path, out: Path, source: Path = ASTRONAUT, **options: object) -> None:
    given = {"device": "cpu", "models": "builtin"} | options
    cli.swap(checkpoint=checkpoint, source=[source], target=target, out=out, **given)  # type: ignore[arg-type]


def test_a_swapped_photo_carries_all_marks(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "in/photo.jpg"
    target.parent.mkdir()
    Image.fromarray(ONE).save(target, quality=92)
    swap(checkpoint, target, tmp_path / "out", mark_id="BEEF")
    said = capsys.readouterr().out
    assert "mark ID 0000beef" in said
    assert "1 swapped; see" in said
    told = verify(tmp_path / "out/photo.jpg").to_dict()
    assert told["marked"]
    assert told["watermark"]["id"] == "0000beef"
    assert told["metadata"]["Label"] == "1"
    assert decode((tmp_path / "out/photo.jpg").read_bytes()).pixels.shape == ONE.shape
    # The same again: nothing to do. Another way: another folder.
    swap(checkpoint, target, tmp_path / "out")
    assert "1 exists" in capsys.readouterr().out
    with pytest.raises(OutputError, match=r"holds swaps made in another way \(label, see .*choose another --out"):
        swap(checkpoint, target, tmp_path / "out", label=Label.none)
    # Without the label the other marks are all there, and the metadata says so.
    swap(checkpoint, target, tmp_path / "plain", label=Label.none, mask=Part.face_hair)
    assert verify(tmp_path / "plain/photo.jpg").marked


def test_a_folder_with_a_bad_photo_ends_with_its_own_code(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(ONE).save(folder / "a.png")
    (folder / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    with pytest.raises(TargetError, match=r"1 of 2 photos were not swapped: .*report.csv says why") as caught:
        swap(checkpoint, folder, tmp_path / "out")
    assert caught.value.exit_code == 14
    assert "b.jpg: failed: truncated" in capsys.readouterr().err
    assert verify(tmp_path / "out/a.png").marked


def test_mistakes_are_one_line_with_an_exit_code(checkpoint: Path, tmp_path: Path) -> None:
    photo, wall, people = tmp_path / "in/a.png", tmp_path / "in/wall.png", tmp_path / "no"
    (people / "ann").mkdir(parents=True)
    photo.parent.mkdir()
    Image.fromarray(ONE).save(photo)
    Image.fromarray(ONE).save(people / "ann/1.png")
    Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save(wall)
    (tmp_path / "in/clip.mp4").write_bytes(b"no video")
    out = tmp_path / "out"
    cases: list[tuple[dict[str, object], type[SwapsetError], str]] = [
        ({"target": photo, "source": GROUP}, SourceFaceError, "shows 6 faces"),
        ({"target": wall}, TargetError, r"wall.png: no face; nothing was written but"),
        ({"target": tmp_path / "in/clip.mp4"}, TargetError, "clip.mp4: cannot be read as a photo or video"),
        (
            {"target": photo, "exclude": [people]},
            ConsentError,
            r"source .*astronaut.png: a face in it matches no/ann/1",
        ),
        ({"target": photo, "source": GROUP, "source_face": 1, "exclude": [people]}, ConsentError, "target .*matches"),
        ({"target": photo, "out": tmp_path / "in"}, OutputError, "is the folder of the target"),
        ({"target": photo, "only": GROUP}, SourceFaceError, "--only .*shows 6 faces"),
    ]
    for number, (options, kind, words) in enumerate(cases):
        given = {"out": out / str(number)} | options
        with pytest.raises(kind, match=words) as caught:
            swap(checkpoint, **given)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        assert not list((out / str(number)).glob("*.png"))
    assert len({TargetError.exit_code, SourceFaceError.exit_code, ConsentError.exit_code}) == 3


def test_ctrl_c_in_a_video_finishes_a_marked_shorter_one(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    target = write_video(tmp_path / "in/clip.mp4", moving(10))
    monkeypatch.setattr(video, "_FRAMES", 4)
    monkeypatch.setattr(cli.Bar, "reach", lambda self, done, total: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted):
        swap(checkpoint, target, tmp_path / "out")
    made = [path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".mp4"]
    assert made == ["clip.until-0.2s.mp4"]
    told = verify(tmp_path / "out" / made[0]).to_dict()
    assert told["metadata"]["Label"] == "1"


def test_ctrl_c_between_photos(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    for name in "abc":
        Image.fromarray(ONE).save(tmp_path / f"in/{name}.png")
    monkeypatch.setattr(album, "_PHOTOS", 1)
    pressed: list[int] = []

    def tick(self: cli.Bar, count: int) -> None:
        if not pressed:
            os.kill(os.getpid(), signal.SIGINT)
        pressed.append(count)

    monkeypatch.setattr(cli.Bar, "tick", tick)
    with pytest.raises(Interrupted):
        swap(checkpoint, tmp_path / "in", tmp_path / "out")
    done = sorted((tmp_path / "out").glob("*.png"))
    assert 1 <= len(done) < 3
    assert all(verify(path).marked for path in done)


def test_a_second_ctrl_c_stops_at_once() -> None:
    warned: list[bool] = []
    # A program that was started in the background may ignore the signal.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), gently(lambda: warned.append(True)) as stop:  # noqa: PT012
            assert not stop()
            os.kill(os.getpid(), signal.SIGINT)
            assert stop()
            os.kill(os.getpid(), signal.SIGINT)
        assert warned == [True]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, usual)


def test_export_writes_a_file_and_says_how_large_it_is(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The export itself is slow, and tested beside.
    monkeypatch.setattr(export, "export_generator", lambda path, out: 1234567 if path == checkpoint else 0)
    cli.export(checkpoint=checkpoint, out=tmp_path / "g.onnx")
    assert capsys.readouterr().out == f"{tmp_path / 'g.onnx'}: 1.2 MB\n"
