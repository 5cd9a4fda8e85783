"""`simswap swap` and `simswap export`: marked results, error messages and exit codes."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image

from curate.decode import decode
from curate.errors import SourceError
from curate.program import Interrupted
from manifests.errors import OutputError, SwapsetError
from tests.samples.swap import ASTRONAUT, GROUP, detector, embedder, pixels, smaller, write_checkpoint
from tests.samples.videos import moving, write_video
from train import checkpoint as checkpoint_file
from train.commands import swapping as cli
from train.commands.swapping import Label, Part
from train.errors import CheckpointError, ConsentError, SourceFaceError, TargetError
from train.marks.verify import verify
from train.networks.conditioning import identity_conditioning
from train.swap import export, photos, video_reader
from train.swap.source import read_source

ONE = smaller(pixels(ASTRONAUT), 0.625)  # 320 x 320 px


@pytest.fixture(autouse=True)
def _swapset_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAPSET_HOME", str(tmp_path / "home"))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "run.safetensors")
    return tmp_path / "run.safetensors"


def swap(checkpoint: Path, target: Path, out: Path, source: Path | None = ASTRONAUT, **options: object) -> None:
    given = {"device": "cpu", "models": "builtin"} | options
    sources = [source] if source else None
    cli.swap(checkpoint=checkpoint, source=sources, target=target, out=out, **given)  # type: ignore[arg-type]


def test_a_swapped_photo_carries_all_marks(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "in/photo.jpg"
    target.parent.mkdir()
    Image.fromarray(ONE).save(target, quality=92)
    swap(checkpoint, target, tmp_path / "out", mark_id="BEEF")
    output, notes = capsys.readouterr()
    assert "mark ID 0000beef" in output
    assert "This notice is shown once" in notes
    assert "1 swapped; see" in output
    verdict = verify(tmp_path / "out/photo.jpg").to_dict()
    assert verdict["watermark"]["id"] == "0000beef"
    assert verdict["metadata"]["ProduceID"] == "0000beef"
    assert verdict["credentials"]["state"] == "trusted"
    assert decode((tmp_path / "out/photo.jpg").read_bytes()).pixels.shape == ONE.shape
    # The same command again has nothing to do; other settings need another folder.
    swap(checkpoint, target, tmp_path / "out")
    output, notes = capsys.readouterr()
    assert "1 exists" in output
    assert "notice" not in notes
    with pytest.raises(OutputError, match=r"contains swaps of other settings \(label, see .*choose another --out"):
        swap(checkpoint, target, tmp_path / "out", label=Label.none)
    with pytest.raises(OutputError, match=r"settings \(keep_location, see"):
        swap(checkpoint, target, tmp_path / "out", keep_location=True)
    # Without the visible label, the other marks remain.
    swap(checkpoint, target, tmp_path / "plain", label=Label.none, mask=Part.face_hair)
    assert verify(tmp_path / "plain/photo.jpg").marked


def test_a_folder_with_a_bad_photo_has_its_exit_code(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(ONE).save(folder / "a.png")
    (folder / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    with pytest.raises(TargetError, match=r"1 of 2 photos was not swapped: .*report.csv has the reasons") as caught:
        swap(checkpoint, folder, tmp_path / "out")
    assert caught.value.exit_code == 14
    assert "b.jpg: failed: truncated" in capsys.readouterr().err
    assert verify(tmp_path / "out/a.png").marked


def test_errors_are_one_line_and_leave_no_result(checkpoint: Path, tmp_path: Path) -> None:
    photo, wall, people = tmp_path / "in/a.png", tmp_path / "in/wall.png", tmp_path / "no"
    (people / "ann").mkdir(parents=True)
    photo.parent.mkdir()
    Image.fromarray(ONE).save(photo)
    Image.fromarray(ONE).save(people / "ann/1.png")
    Image.fromarray(np.full((64, 64, 3), 99, np.uint8)).save(wall)
    (tmp_path / "in/clip.mp4").write_bytes(b"no video")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    cases: list[tuple[dict[str, object], type[SwapsetError], str]] = [
        ({"target": photo, "source": GROUP}, SourceFaceError, "shows 6 faces"),
        ({"target": wall}, TargetError, r"wall.png: no face; nothing was written$"),
        ({"target": tmp_path / "in/clip.mp4"}, TargetError, "clip.mp4: cannot be read as a photo or video"),
        (
            {"target": photo, "exclude": [people]},
            ConsentError,
            r"source .*astronaut.png: a face matches no/ann/1",
        ),
        ({"target": photo, "source": GROUP, "source_face": 1, "exclude": [people]}, ConsentError, "target .*matches"),
        ({"target": photo, "exclude": [tmp_path / "empty"]}, SourceError, r"--exclude .*empty: no photos can be read"),
        ({"target": photo, "out": tmp_path / "in"}, OutputError, "is the folder of the target"),
        (
            {"target": photo, "only": [GROUP]},
            SourceFaceError,
            r"--only .*shows 6 faces \(.*\): crop the photo to one face",
        ),
    ]
    for number, (options, kind, message) in enumerate(cases):
        given = {"out": out / str(number)} | options
        with pytest.raises(kind, match=message) as caught:
            swap(checkpoint, **given)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        assert not (out / str(number)).exists(), "nothing is written"
    assert len({TargetError.exit_code, SourceFaceError.exit_code, ConsentError.exit_code}) == 3


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A checkpoint of two people, of whom ann is the astronaut."""
    path = tmp_path / "people.safetensors"
    keys = {
        "generator": "people",
        "people": "ann, bob",
        "blocks": 9,
        "same_person": 1.0,
        "held_out": 0.0,
        "mask": "face",
    }
    write_checkpoint(path, **keys)
    state = checkpoint_file.read(path)
    astronaut = read_source([ASTRONAUT], detector(), embedder(), "cpu").embeddings[0]
    latents = torch.from_numpy(np.stack([astronaut, -astronaut]))
    named = {"ema.latents": latents, "ema.conditions": identity_conditioning(latents, state.tensors["centre"])}
    checkpoint_file.write(path, replace(state, tensors=state.tensors | named))
    return path


def test_a_person_of_the_checkpoint_is_named_or_shown(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "in/photo.png"
    target.parent.mkdir()
    Image.fromarray(ONE).save(target)
    swap(people, target, tmp_path / "named", source=None, person="ann", mark_id="1")
    assert "source: ann; mark ID 00000001" in capsys.readouterr().out
    swap(people, target, tmp_path / "shown", mark_id="1")
    results = [decode((tmp_path / folder / "photo.png").read_bytes()).pixels for folder in ("named", "shown")]
    assert np.array_equal(*results)
    with pytest.raises(OutputError, match=r"other settings \(person, sources, see"):
        swap(people, target, tmp_path / "named")


def test_mistakes_about_people_are_refused(checkpoint: Path, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cases: list[tuple[Path, dict[str, object], type[Exception], str]] = [
        (people, {"source": None}, typer.BadParameter, "either --source or --person"),
        (people, {"person": "ann"}, typer.BadParameter, "either --source or --person"),
        (people, {"source": None, "person": "ben"}, CheckpointError, "not trained on 'ben': name one of ann, bob"),
        (checkpoint, {"source": None, "person": "ann"}, CheckpointError, "not trained on named people: give photos of"),
        (
            people,
            {"source": GROUP, "source_face": 1},
            SourceFaceError,
            r"no one of the checkpoint's people \(ann, bob;",
        ),
    ]
    for path, options, kind, message in cases:
        with pytest.raises(kind, match=message):
            swap(path, ASTRONAUT, out, **options)  # type: ignore[arg-type]
    assert not out.exists()


def test_a_named_person_of_the_exclusion_gallery_is_refused(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no/ann").mkdir(parents=True)
    Image.fromarray(pixels(ASTRONAUT)).save(tmp_path / "no/ann/1.png")
    (tmp_path / "no/ann/2.jpg").write_bytes(b"no photo")
    with pytest.raises(ConsentError, match="--person ann: a face matches no/ann/1"):
        swap(people, GROUP, tmp_path / "out", source=None, person="ann", exclude=[tmp_path / "no"])
    note = capsys.readouterr().err
    assert "no: no face in 1 of 2 photos: without effect" in note
    assert "ann/2.jpg" in note


@pytest.mark.parametrize("text", ["", "0x", "123456789", "xyz"])
def test_a_mark_id_has_up_to_8_hexadecimal_digits(checkpoint: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(typer.BadParameter, match="give up to 8 hexadecimal digits"):
        swap(checkpoint, ASTRONAUT, tmp_path / "out", mark_id=text)


def test_an_interrupt_completes_a_shorter_marked_video(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    target = write_video(tmp_path / "in/clip.mp4", moving(10))
    monkeypatch.setattr(video_reader, "_BATCH_FRAMES", 4)
    monkeypatch.setattr(cli.ProgressBar, "advance", lambda self, count: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted):
        swap(checkpoint, target, tmp_path / "out")
    names = [path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".mp4"]
    assert names == ["clip.until-0.2s.mp4"]
    assert verify(tmp_path / "out" / names[0]).marked


def test_an_interrupt_between_photos_keeps_finished_ones(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for name in "abc":
        Image.fromarray(ONE).save(tmp_path / f"in/{name}.png")
    monkeypatch.setattr(photos, "_BATCH_PHOTOS", 1)
    pressed: list[int] = []

    def advance(self: cli.ProgressBar, count: int) -> None:
        if not pressed:
            os.kill(os.getpid(), signal.SIGINT)
        pressed.append(count)

    monkeypatch.setattr(cli.ProgressBar, "advance", advance)
    with pytest.raises(Interrupted):
        swap(checkpoint, tmp_path / "in", tmp_path / "out")
    done = sorted((tmp_path / "out").glob("*.png"))
    assert 1 <= len(done) < 3
    assert all(verify(path).marked for path in done)


def test_export_prints_file_and_size(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The export itself is slow; test_export covers it.
    monkeypatch.setattr(export, "export_generator", lambda path, out: 1234567 if path == checkpoint else 0)
    cli.export(checkpoint=checkpoint, out=tmp_path / "g.onnx")
    assert capsys.readouterr().out == f"{tmp_path / 'g.onnx'}: 1.2 MB\n"
