"""`--help`: headings, whole summaries, and examples that can be copied."""

import pytest
from typer import Typer
from typer.testing import CliRunner

from curate.application import app as curate
from train.application import app as simswap


@pytest.mark.parametrize("app", [curate, simswap], ids=["curate", "simswap"])
def test_every_command_stands_under_a_heading_with_its_whole_summary(app: Typer) -> None:
    text = CliRunner().invoke(app, ["--help"], terminal_width=80).output
    assert "\nTry it:\n  demo " in text
    assert "\nCommands:\n" not in text
    assert "...\n" not in text.replace("[ARGS]...", "")


def test_an_example_is_one_line() -> None:
    text = CliRunner().invoke(simswap, ["swap", "--help"], terminal_width=80).output
    example = "simswap swap --checkpoint runs/seg-mask/checkpoints/000008000000.safetensors --source anna.jpg "
    assert f"\n  Example: {example}--target holiday --out swapped\n" in text
