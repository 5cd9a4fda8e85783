"""Strict conversion of JSON to frozen dataclasses: no unknown key, no missing key, no value of another type or range.

Every JSON document that a program reads passes here: `read_record` for files, `parse_record` for text in a footer or
header. A field declares what it accepts by its annotation, with `Limits` where not every value of the type is valid.
"""

import dataclasses
import json
import math
import os
import re
import types
from collections.abc import Sequence
from types import NoneType
from typing import Annotated, Any, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from manifests.errors import SwapsetError
from manifests.input import readable
from manifests.locations import as_path

Record = TypeVar("Record")

_NAMES = {str: "text", int: "an integer", float: "a number", bool: "true or false", dict: "an object"}
_MAX_TEXT = 40


class InvalidRecordError(ValueError):
    """JSON that does not match its dataclass; the message names the key and what is expected there."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a field accepts, in its annotation: `Annotated[int, Limits(low=1)]`.

    Attributes:
        low, high: of a number, both included.
        choices: of a text; empty for any.
        pattern: regular expression of a text; empty for any.
    """

    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    pattern: str = ""


_ANY = Limits()


def read_record(path: str | os.PathLike[str], record: type[Record], error: type[SwapsetError], advice: str) -> Record:
    """Read a JSON file as a dataclass, or as another type that a field may have (see `from_json`).

    Raises `error`, one line, where the file cannot be read, is no UTF-8 or JSON, or does not match the type; `advice`
    is the next step.
    """
    if not as_path(path).exists():
        raise error(f"{path} does not exist: {advice}")
    with readable(path, error):
        data = as_path(path).read_bytes()
    try:
        return parse_record(data, record)
    except InvalidRecordError as invalid:
        raise error(f"{path} is not valid ({invalid}): {advice}") from invalid


def parse_record(text: str | bytes, record: type[Record]) -> Record:
    """Convert JSON text to a dataclass, or to another type that a field may have. Raises InvalidRecordError."""
    converted: Record = _convert(record, parse_json(text), "")
    return converted


def parse_json(text: str | bytes) -> Any:
    """Parse JSON as the standard has it: no NaN, no key twice in an object. Raises InvalidRecordError."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise InvalidRecordError(f"byte {error.start} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise InvalidRecordError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except InvalidRecordError:
        raise
    except ValueError as error:
        raise InvalidRecordError("a number has too many digits") from error
    except RecursionError as error:
        raise InvalidRecordError("it is nested too deeply") from error


def from_json(record: type[Record], value: object, key: str = "") -> Record:
    """Convert a JSON object to a dataclass, nested ones included.

    Args:
        record: a dataclass whose fields are str, int, float, bool, Any, another such dataclass, `tuple[<one of these>,
            ...]`, `list[<...>]`, `dict[str, <...>]`, or one of these or None.
        value: what `parse_json` returned.
        key: dotted name of `value` in its file, for error messages; empty for the whole file.

    Raises:
        InvalidRecordError: a missing or unknown key, or a value of another type or out of range.
    """
    if not isinstance(value, dict):
        raise InvalidRecordError(f"{key} is {_short(value)}, expected an object" if key else "not a JSON object")
    hints = get_type_hints(record, include_extras=True)
    entries = {field.name: field for field in dataclasses.fields(record) if field.init}  # type: ignore[arg-type]
    required = {
        name
        for name, field in entries.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    invalid = sorted(required - value.keys()) or sorted(value.keys() - entries.keys())
    if invalid:
        names = ", ".join(_short(_dotted(key, name), quoted=False) for name in invalid)
        raise InvalidRecordError(f"missing or unknown key: {names}")
    values = {name: _convert(hints[name], entry, _dotted(key, name)) for name, entry in value.items()}
    try:
        return record(**values)
    except SwapsetError as error:  # a dataclass with conditions of its own
        raise InvalidRecordError(f"{key}: {error}" if key else str(error)) from error


def _convert(expected: Any, value: object, key: str) -> Any:
    limits = _ANY
    if get_origin(expected) is Annotated:
        expected, limits = get_args(expected)
    if get_origin(expected) in (types.UnionType, Union):
        if value is None:
            return None
        (inner,) = (option for option in get_args(expected) if option is not NoneType)
        return _convert(inner, value, key)
    if expected in (Any, object):
        return value
    if dataclasses.is_dataclass(expected):
        return from_json(expected, value, key)  # type: ignore[arg-type]
    kind = get_origin(expected) or expected
    if kind in (tuple, list):
        return _sequence(kind, get_args(expected), value, key)
    # bool is a subclass of int.
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        _refuse(key, value, _expectation(kind, limits))
    if isinstance(value, dict):
        inner = get_args(expected)[1]
        return {_text(name, key): _convert(inner, entry, _dotted(key, name)) for name, entry in value.items()}
    if isinstance(value, str):
        if (limits.choices and value not in limits.choices) or not re.fullmatch(limits.pattern or "(?s:.*)", value):
            _refuse(key, value, _expectation(kind, limits))
        return _text(value, key)
    if isinstance(value, (int, float)) and kind is not bool:
        if not limits.low <= value <= limits.high or abs(value) > _MAX[kind]:
            _refuse(key, value, _expectation(kind, limits))
        return float(value) if kind is float else value
    return value


_MAX = {int: 2**63 - 1, float: 1.7976931348623157e308}


def _sequence(kind: type, types_: tuple[Any, ...], value: object, key: str) -> object:
    if not isinstance(value, list):
        _refuse(key, value, "a list")
    if kind is tuple and types_[-1] is not Ellipsis:
        if len(value) != len(types_):
            _refuse(key, value, f"a list of {len(types_)} values")
        inner: Sequence[Any] = types_
    else:
        inner = [types_[0]] * len(value)
    converted = zip(inner, value, strict=True)
    return kind(_convert(each, entry, f"{key}[{index}]") for index, (each, entry) in enumerate(converted))


def _text(value: str, key: str) -> str:
    """Return a text that can be a part of a path; bytes that are not UTF-8 are escaped there, as Python does."""
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        _refuse(key, value, "text without a lone surrogate")
    if "\0" in value:
        _refuse(key, value, "text without a null character")
    return value


def _expectation(kind: Any, limits: Limits) -> str:
    name = _NAMES.get(kind, str(kind))
    if limits.choices:
        return f"one of {', '.join(limits.choices)}"
    if limits.pattern:
        return f"text of the form {limits.pattern}"
    if math.isfinite(limits.high):
        return f"{name} from {limits.low:g} to {limits.high:g}"
    return f"{name} of at least {limits.low:g}" if math.isfinite(limits.low) else name


def _refuse(key: str, value: object, expectation: str) -> NoReturn:
    place = _short(key, quoted=False) if key else "it"
    raise InvalidRecordError(f"{place} is {_short(value)}, expected {expectation}")


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRecordError(f"{name} is not a JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRecordError(f"the key {_short(twice)} occurs twice")
    return values


def _dotted(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _short(value: object, *, quoted: bool = True) -> str:
    """Return a value on one line, shortened."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**_MAX_TEXT:
        return "a number of many digits"
    text = repr(value) if quoted else repr(value)[1:-1]
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."
