"""Typed TOML: presets, files that extend each other, and the message for every mistake."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from curate.typed_toml import Presets, TypedToml, choice, number, switch, toml_literal
from manifests.errors import SwapsetError


class OvenError(SwapsetError):
    """Stands for the error type of a caller."""


@dataclass(frozen=True)
class Oven(TypedToml):
    error: ClassVar = OvenError

    heat: float = number(180.0, 50, 250, "temperature", "degrees")
    minutes: int = number(40, 1, 1_000_000, "duration")
    fan: bool = switch(False, "hot air")
    rack: str = choice("middle", ("top", "middle", "bottom"), "position")
    note: str = choice("", (), "free text")
    light: int = number(1, 0, 1, "lamp", affects_result=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fan and self.heat > 200:
            raise OvenError(f"heat = {self.heat:g} is too hot with fan = true: set heat to 200 or less")


@pytest.fixture
def ovens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Presets[Oven]:
    """Presets of a package `bakery` with the files bread and pizza; the working directory is an empty folder."""
    folder = tmp_path / "bakery/presets"
    folder.mkdir(parents=True)
    (tmp_path / "bakery/__init__.py").touch()
    (folder / "bread.toml").write_text('extends = "plain"\nheat = 230\n')
    (folder / "pizza.toml").write_text('extends = "bread"\nrack = "bottom"\n')
    (tmp_path / "work").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path / "work")
    return Presets(Oven, noun="oven", package="bakery", folder="presets", default="plain")


def test_the_class_is_the_default_preset(ovens: Presets[Oven]) -> None:
    assert ovens.names() == ("bread", "pizza", "plain")
    assert ovens.load("plain") == Oven()


def test_presets_extend_each_other(ovens: Presets[Oven]) -> None:
    assert ovens.load("pizza") == Oven(heat=230, rack="bottom")


def test_changes_replace_the_values_of_the_file(ovens: Presets[Oven]) -> None:
    assert ovens.load("bread", heat=200.0, fan=None) == Oven(heat=200)
    with pytest.raises(OvenError, match="oven bread: unknown key 'heet'; did you mean 'heat'"):
        ovens.load("bread", heet=200)


def test_extends_is_relative_to_the_file(ovens: Presets[Oven]) -> None:
    Path("deep").mkdir()
    Path("my.toml").write_text('extends = "deep/my.toml"\nlight = 0\n')
    Path("deep/my.toml").write_text('extends = "base.toml"\nminutes = 9\nlight = 1\n')
    Path("deep/base.toml").write_text('extends = "pizza"\n')
    assert ovens.load("my.toml") == Oven(heat=230, rack="bottom", minutes=9, light=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("heet = 5", "my.toml: unknown key 'heet'; did you mean 'heat'?"),
        ("zzz = 1", "my.toml: unknown key 'zzz'; known keys: extends, heat, minutes, fan, rack, note, light"),
        ("heat = 300", "my.toml: heat = 300 is out of range; set it to 50 to 250 degrees"),
        ("heat = 1" + "0" * 400, "is out of range"),
        ("heat = nan", "my.toml: heat = nan is out of range"),
        ('heat = "high"', "my.toml: heat = 'high' must be a number"),
        ("heat = true", "my.toml: heat = True must be a number"),
        ("minutes = 1.5", "my.toml: minutes = 1.5 must be an integer"),
        ("fan = true\nheat = 240", "oven my.toml: heat = 240 is too hot with fan = true"),
        ("fan = 1", "my.toml: fan = 1 must be true or false"),
        ('rack = "botom"', "my.toml: rack = 'botom' must be top, middle or bottom; did you mean 'bottom'?"),
        ("note = 1", "my.toml: note = 1 must be text"),
        ("heat", "my.toml: not valid TOML"),
        ("extends = 3", "my.toml: extends = 3 must be the name of a preset or a path"),
        (
            'extends = "bred"',
            "neither a preset (bread, pizza, plain) nor a file; did you mean 'bread'?",
        ),
        ('extends = "my.toml"', "`extends` forms a cycle (my.toml -> my.toml); remove one of them"),
    ],
)
def test_a_mistake_names_file_key_and_remedy(ovens: Presets[Oven], text: str, message: str) -> None:
    Path("my.toml").write_text(text)
    with pytest.raises(OvenError) as error:
        ovens.load("my.toml")
    assert message in str(error.value)


def test_a_file_that_is_not_utf8_is_refused(ovens: Presets[Oven]) -> None:
    Path("my.toml").write_bytes(b"# caf\xe9\n")
    with pytest.raises(OvenError, match=r"my\.toml: not UTF-8 text"):
        ovens.load("my.toml")


def test_values_given_in_code_are_checked_too() -> None:
    with pytest.raises(OvenError, match="Oven: heat = 10 is out of range"):
        Oven(heat=10)


def test_equal_instances_have_equal_hashes_and_only_results_count() -> None:
    assert Oven(heat=200).canonical_json() == '{"fan":false,"heat":200.0,"minutes":40,"note":"","rack":"middle"}'
    assert Oven(heat=200).sha256() == Oven(heat=200.0, light=0).sha256() != Oven().sha256()


def test_describe_gives_one_row_per_key() -> None:
    rows = {key.name: (key.value, key.accepted, key.unit, key.meaning) for key in Oven().describe()}
    assert rows["heat"] == ("180", "50 to 250", "degrees", "temperature")
    assert rows["fan"] == ("false", "true or false", "", "hot air")
    assert rows["rack"] == ('"middle"', "top, middle or bottom", "", "position")


@pytest.mark.parametrize(
    ("value", "literal"),
    [(True, "true"), (8_000_000, "8_000_000"), (4e-4, "0.0004"), (0.12345678, "0.12345678"), ('a "b"', r'"a \"b\""')],
)
def test_literals_are_valid_toml(value: bool | float | str, literal: str) -> None:
    import tomllib

    assert toml_literal(value) == literal
    assert tomllib.loads(f"key = {literal}") == {"key": value}
