"""The program `simswap`: light help, a dry run, and one line with an exit code for each mistake."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cleaned
from tests.samples.dataset import write_dataset
from tests.samples.tiny_training import write_recipe


def simswap(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "train.cli", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )


COMMANDS = ("fit", "pairs", "evaluate", "ablate", "swap", "demo", "export", "import", "verify")


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys, runpy; sys.argv = ['simswap', *{arguments!r}]\n"
        "try:\n    runpy.run_module('train.cli', run_name='__main__')\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'cv2', 'pandas', 'pyarrow', 'numpy', 'av', 'onnx'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert arguments == ["--help"] or "Example: simswap" in done.stdout


def test_every_command_and_option_has_a_help_text() -> None:
    import typer

    from train.cli import app

    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        assert command.help, name
        for parameter in command.params:
            assert parameter.name == "help" or parameter.help, f"{name}: {parameter.name}"


def test_a_dry_run_prints_recipe_data_and_cost_and_writes_nothing(cleaned: Cleaned, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = simswap("fit", "--data", cleaned.out, "--recipe", "baseline", "--set", "batch=4", "--out", out, "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    assert lines["batch"].split()[1] == "4"
    assert "128 numbers" in lines["embedder"]
    assert "held_out = 0.05 holds out 0 of " in lines["caution"]
    # 55,051,779 with 512-d latents, less 384 x 1024 x 18 weights of the styles.
    assert "47,973,891 parameters" in lines["generator"]
    assert float(lines["generator"].split()[3]) == pytest.approx(48.1, abs=0.2)  # G multiply-adds
    assert "13,924,738 parameters" in lines["discriminator"]
    assert not out.exists()


def test_mistakes_are_one_line_with_an_exit_code(cleaned: Cleaned, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    other = write_recipe(make_folder(tmp_path, "other"), 'template = "ffhq-512"')
    empty, broken = tmp_path / "empty", tmp_path / "broken"
    write_dataset(empty, {"ann": 1})
    shutil.copytree(cleaned.out, broken)
    for shard in (broken / "faces").glob("*.parquet"):
        shard.unlink()
    occupied = make_folder(tmp_path, "occupied")
    (occupied / "thesis.txt").write_text("")
    for arguments, code, message in [
        (["--data", tmp_path], 7, "is not a curated dataset"),
        (["--data", cleaned.out, "--set", "mask=hair"], 8, "mask = 'hair' must be none, box, face or face_hair"),
        (["--data", cleaned.out, "--recipe", "basline"], 8, "did you mean 'baseline'"),
        (["--data", cleaned.out, "--recipe", other], 7, "aligned to simswap-224, this recipe trains on ffhq-512"),
        (["--data", empty, "--recipe", recipe], 7, "nothing to train on"),
        (["--data", broken, "--recipe", recipe], 7, "parquet is missing"),
        (["--data", cleaned.out, "--recipe", recipe, "--out", occupied], 4, "holds other files (thesis.txt)"),
        (["--data", cleaned.out, "--recipe", recipe, "--out", cleaned.out / "run"], 4, "lies inside the dataset"),
        (["--data", cleaned.out, "--recipe", recipe, "--device", "tpu"], 6, "--device tpu"),
    ]:
        done = (
            simswap("fit", *arguments, "--device", "cpu") if "--device" not in arguments else simswap("fit", *arguments)
        )
        assert done.returncode == code, (arguments, done.stderr)
        assert message in done.stderr
        assert done.stderr.startswith("simswap: ")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["fit", "swap", "evaluate", "ablate"])
def test_results_are_written_to_file_systems_only(command: str) -> None:
    done = simswap(command, "--out", "s3://bucket/out")
    assert done.returncode == 2
    assert "s3://bucket/out is in an object store: give a folder" in " ".join(done.stderr.split())


def test_a_key_with_an_option_of_ablate_is_refused_in_set(tmp_path: Path) -> None:
    done = simswap("ablate", "--data", tmp_path, "--out", tmp_path / "out", "--set", "seed=3")
    assert done.returncode == 2
    assert "--set seed=...: give --seeds instead" in " ".join(done.stderr.split())


def make_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def test_every_error_has_a_documented_exit_code() -> None:
    from manifests.errors import SwapsetError
    from train import errors
    from train.cli import EXIT_CODES

    types = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, SwapsetError)]
    assert len({error.exit_code for error in types}) == len(types)
    assert {error.exit_code for error in types} <= EXIT_CODES.keys()
