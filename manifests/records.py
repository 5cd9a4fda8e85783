"""Strict conversion of JSON values to frozen dataclasses: no unknown key, no missing key, no value of another type."""

import dataclasses
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Record = TypeVar("Record")


class InvalidRecordError(ValueError):
    """A JSON value does not match its dataclass; the message names the key and the expected type."""


def from_json(record: type[Record], value: object, key: str = "") -> Record:
    """Convert a JSON object to a dataclass, nested ones included.

    Args:
        record: a dataclass whose fields are str, int, bool, another such dataclass, `dict[str, <one of these>]`, or
            one of these or None.
        value: what `json.load` returned.
        key: dotted name of `value` in its file, for error messages; empty for the whole file.

    Raises:
        InvalidRecordError: a missing or unknown key, or a value of another type.
    """
    if not isinstance(value, dict):
        raise InvalidRecordError(f"{key} is {_short(value)}, expected an object" if key else "not a JSON object")
    types = get_type_hints(record)
    required = {
        field.name
        for field in dataclasses.fields(record)  # type: ignore[arg-type]
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    invalid = sorted(required - value.keys()) or sorted(value.keys() - types.keys())
    if invalid:
        raise InvalidRecordError(f"missing or unknown key: {', '.join(_dotted(key, name) for name in invalid)}")
    return record(**{name: _convert(types[name], entry, _dotted(key, name)) for name, entry in value.items()})


def _convert(expected: Any, value: object, key: str) -> object:
    if isinstance(expected, UnionType):
        if value is None:
            return None
        (expected,) = (option for option in get_args(expected) if option is not NoneType)
    if dataclasses.is_dataclass(expected):
        return from_json(expected, value, key)  # type: ignore[arg-type]
    accepted = get_origin(expected) or expected
    # bool is a subclass of int.
    if not isinstance(value, accepted) or (isinstance(value, bool) and accepted is not bool):
        raise InvalidRecordError(f"{key} is {_short(value)}, expected {accepted.__name__}")
    if isinstance(value, dict):
        return {name: _convert(get_args(expected)[1], entry, _dotted(key, name)) for name, entry in value.items()}
    return value


def _dotted(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
