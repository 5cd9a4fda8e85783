"""The demonstration generator ships, is small and described, and its demo swaps, marks and verifies."""

from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from manifests.errors import BusyError, OutputError
from manifests.output import OutputLock
from train.application import app
from train.demonstration.demo import PHOTOS, run_demo
from train.demonstration.generator import demonstration_checkpoint, demonstration_people
from train.trained import load_network

MAX_BYTES = 12_000_000


def test_the_generator_is_small_and_its_card_names_its_people() -> None:
    path = demonstration_checkpoint()
    assert path.stat().st_size < MAX_BYTES
    people = demonstration_people()
    assert load_network(path).people == people
    assert len(people) >= 4
    card = (files("train") / "weights" / "people.md").read_text(encoding="utf-8")
    assert all(name in card for name in people)
    assert "research use only" in card


def test_the_demo_swaps_marks_and_verifies_photos_of_the_dependencies(tmp_path: Path) -> None:
    person = demonstration_people()[0]
    demo = run_demo(tmp_path, [person])
    assert demo.all_marked
    page = demo.page.read_text(encoding="utf-8")
    for target, swaps in demo.swaps.items():
        assert target.stem in PHOTOS
        assert [swap.person for swap in swaps] == [person]
        assert swaps[0].path.read_bytes() != target.read_bytes()
        assert f'src="{swaps[0].path.relative_to(tmp_path).as_posix()}"' in page
    assert "watermark" in page


def test_two_demos_do_not_write_one_folder(tmp_path: Path) -> None:
    with OutputLock(tmp_path), pytest.raises(BusyError, match="is in use by another run"):
        run_demo(tmp_path)


@pytest.mark.parametrize("name", ["swap.json", "photos/other.jpg", "swapped/No One"])
def test_a_folder_of_other_files_is_refused_and_left_as_it_is(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("kept")
    with pytest.raises(OutputError, match=f"holds {name}, which is not of a demo: choose another --out"):
        run_demo(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]


def test_a_swap_without_a_checkpoint_names_the_people_of_the_demonstration() -> None:
    done = CliRunner().invoke(app, ["swap", "--target", "a.jpg", "--out", "out"])
    assert done.exit_code == 2
    message = " ".join(done.output.split())
    assert all(name in message for name in demonstration_people())


@pytest.mark.parametrize("name", ["generator.bin", "generator"])
def test_an_export_of_another_kind_is_refused(name: str) -> None:
    done = CliRunner().invoke(app, ["export", "--checkpoint", "a.safetensors", "--out", name])
    assert done.exit_code == 2
    assert "end it in .onnx or .safetensors" in " ".join(done.output.split())
