"""Frozen dataclasses read from small TOML files that extend each other: cleaning policies, training recipes.

    extends = "default"      # a preset, or a path relative to this file; keys that are not set keep its values
    min_sharpness = 0.6

A class declares its keys with `number`, `switch` and `choice`, which carry the default, the accepted values and the
meaning. `TypedToml` checks, serialises and describes an instance; `Presets` reads one by name or path.
"""

import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Sequence
from dataclasses import Field, dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from manifests.errors import SwapsetError
from manifests.input import readable

_EXTENDS = "extends"


def number(
    default: float, low: float, high: float, meaning: str, unit: str = "", *, affects_result: bool = True
) -> Any:
    """Declare a numeric key with the accepted range [low, high]; integers only where `default` is an int.

    Without `affects_result` the key is left out of `canonical_json` and `sha256`.
    """
    metadata = {"low": low, "high": high, "meaning": meaning, "unit": unit, "affects_result": affects_result}
    return field(default=default, metadata=metadata)


def switch(default: bool, meaning: str) -> Any:
    """Declare a boolean key."""
    return field(default=default, metadata={"meaning": meaning})


def choice(default: str, choices: Sequence[str], meaning: str) -> Any:
    """Declare a text key that accepts one of `choices`, or any text where `choices` is empty."""
    return field(default=default, metadata={"choices": tuple(choices), "meaning": meaning})


@dataclass(frozen=True)
class Key:
    """One key of a class for documentation: `value` as a TOML literal, `accepted` values as text."""

    name: str
    value: str
    accepted: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class TypedToml:
    """Base class: subclasses are frozen dataclasses whose fields are declared with `number`, `switch` or `choice`.

    Raises `error`, the subclass's own error type, for a value of another type or out of range.
    """

    error: ClassVar[type[SwapsetError]]

    def __post_init__(self) -> None:
        for entry in fields(self):
            problem = _problem(entry, getattr(self, entry.name))
            if problem:
                raise self.error(f"{type(self).__name__}: {problem}")

    def canonical_json(self) -> str:
        """Return the keys that affect the result as JSON: sorted, no spaces; equal instances give equal text.

        Integers given for a real-valued key are written as floats.
        """
        values = {
            entry.name: _canonical(entry, getattr(self, entry.name))
            for entry in fields(self)
            if entry.metadata.get("affects_result", True)
        }
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    def sha256(self) -> str:
        """Return the SHA-256 of `canonical_json`, 64 hex digits."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    def describe(self) -> list[Key]:
        """Return one row per key, in the order of declaration."""
        return [
            Key(
                entry.name,
                toml_literal(getattr(self, entry.name)),
                _accepted(entry),
                entry.metadata.get("unit", ""),
                entry.metadata["meaning"],
            )
            for entry in fields(self)
        ]


T = TypeVar("T", bound=TypedToml)


@dataclass(frozen=True)
class Presets(Generic[T]):
    """Instances of `cls` by name or path: TOML files in `folder` of `package`, and files of the user.

    Attributes:
        cls: the class; its defaults are the preset called `default`, which has no file.
        noun: what an instance is called in messages, such as "policy".
        package: import name of the package that ships the presets.
        folder: folder of that package with one `NAME.toml` per preset.
        default: name of the preset without a file.
    """

    cls: type[T]
    noun: str
    package: str
    folder: str
    default: str

    def names(self) -> tuple[str, ...]:
        """Return the names of all presets, sorted."""
        shipped = (entry.name for entry in files(self.package).joinpath(self.folder).iterdir())
        return tuple(sorted({self.default, *(name[:-5] for name in shipped if name.endswith(".toml"))}))

    def load(self, name_or_path: str | Path, **changes: Any) -> T:
        """Read a preset or a TOML file and everything that it extends.

        Args:
            name_or_path: name of a preset, or path of a file; a preset takes precedence over a file of its name.
            **changes: values that replace those of the file; None leaves a key as it is.

        Raises `cls.error` with the file, the key and a remedy: no such preset or file, invalid TOML, a cycle of
        `extends`, an unknown key, a value of another type or out of range, values that the class refuses together.
        """
        changes = {key: value for key, value in changes.items() if value is not None}
        self._check(changes, f"{self.noun} {name_or_path}")
        values = self._values(str(name_or_path), folder=Path(), path=()) | changes
        try:
            return replace(self.cls(), **values)
        except self.cls.error as error:  # values that are accepted one by one, but not together
            raise self.cls.error(f"{self.noun} {name_or_path}: {error}") from error

    def _values(self, name: str, folder: Path, path: tuple[str, ...]) -> dict[str, Any]:
        """Keys set by `name` and by everything that it extends. `path`: the places that led here, for cycles."""
        if name == self.default:
            return {}
        text, place, base = self._read(name, folder)
        if place in path:
            chain = " -> ".join((*path, place))
            raise self.cls.error(f"{place}: `{_EXTENDS}` forms a cycle ({chain}); remove one of them")
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise self.cls.error(f"{place}: not valid TOML: {error}") from error
        except ValueError as error:
            raise self.cls.error(f"{place}: not valid TOML: a number has too many digits") from error
        except RecursionError as error:
            raise self.cls.error(f"{place}: not valid TOML: it is nested too deeply") from error
        extends = table.pop(_EXTENDS, self.default)
        if not isinstance(extends, str):
            raise self.cls.error(f"{place}: {_EXTENDS} = {extends!r} must be the name of a preset or a path")
        self._check(table, place)
        return self._values(extends, base, (*path, place)) | table

    def _read(self, name: str, folder: Path) -> tuple[str, str, Path]:
        """Text of a preset or file, its place for messages, and the folder that its own paths are relative to."""
        if name in self.names():
            resource = files(self.package).joinpath(self.folder, f"{name}.toml")
            return resource.read_text(encoding="utf-8"), f"preset {name}", folder
        path = folder / name
        with readable(name[:100], self.cls.error):
            is_file = path.is_file()
        if not is_file:
            shipped = ", ".join(self.names())
            hint = _did_you_mean(name, self.names())
            raise self.cls.error(f"no {self.noun} {name!r}: neither a preset ({shipped}) nor a file{hint}")
        try:
            with readable(path, self.cls.error):
                return path.read_text(encoding="utf-8"), str(path), path.parent
        except UnicodeDecodeError as error:
            raise self.cls.error(f"{path}: not UTF-8 text; save it as UTF-8") from error

    def _check(self, table: dict[str, Any], place: str) -> None:
        known = {entry.name: entry for entry in fields(self.cls)}
        for key, value in table.items():
            if key not in known:
                hint = _did_you_mean(key, tuple(known)) or f"; known keys: {_EXTENDS}, {', '.join(known)}"
                raise self.cls.error(f"{place}: unknown key {key!r}{hint}")
            problem = _problem(known[key], value)
            if problem:
                raise self.cls.error(f"{place}: {problem}")


def toml_literal(value: bool | float | str) -> str:
    """Return a value as TOML spells it: true, 8_000_000, 0.5, "text"."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return f"{value:_}"
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _problem(entry: "Field[Any]", value: object) -> str:
    """Return what is wrong with the value of a key; empty where it is accepted."""
    name, default = entry.name, entry.default
    if isinstance(default, str):
        choices = entry.metadata["choices"]
        if isinstance(value, str) and (value in choices or not choices):
            return ""
        hint = _did_you_mean(str(value), choices)
        return f"{name} = {value!r} must be {_alternatives(choices) or 'text'}{hint}"
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else f"{name} = {value!r} must be true or false"
    integer = isinstance(default, int)
    if isinstance(value, bool) or not isinstance(value, int if integer else (int, float)):
        return f"{name} = {value!r} must be {'an integer' if integer else 'a number'}"
    if _is_finite(value) and entry.metadata["low"] <= value <= entry.metadata["high"]:
        return ""
    return f"{name} = {value} is out of range; set it to {_accepted(entry)} {entry.metadata['unit']}".rstrip()


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of float64
        return False


def _accepted(entry: "Field[Any]") -> str:
    if isinstance(entry.default, bool):
        return "true or false"
    if isinstance(entry.default, str):
        return _alternatives(entry.metadata["choices"]) or "text"
    return f"{entry.metadata['low']:g} to {entry.metadata['high']:g}"


def _alternatives(choices: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(choices[:-1]), *choices[-1:]]))


def _canonical(entry: "Field[Any]", value: Any) -> Any:
    return float(value) if isinstance(entry.default, float) else value


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
