"""manifests/records.py: JSON documents are read strictly; what does not fit is one line with place and expectation."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest

from manifests.errors import OutputError
from manifests.records import InvalidRecordError, Limits, parse_json, parse_record, read_record


@dataclass(frozen=True)
class Inner:
    share: Annotated[float, Limits(low=0, high=1)]


@dataclass(frozen=True)
class Outer:
    name: str
    count: Annotated[int, Limits(low=1)] = 1
    kind: Annotated[str, Limits(choices=("a", "b"))] = "a"
    code: Annotated[str, Limits(pattern="[0-9a-f]{4}")] | None = None
    inner: Inner | None = None
    point: tuple[float, float] = (0.0, 0.0)
    many: tuple[Inner, ...] = ()
    free: dict[str, Any] = field(default_factory=dict)


def test_every_type_of_field_is_converted() -> None:
    text = """{"name": "x", "count": 3, "kind": "b", "code": "00ff", "inner": {"share": 1}, "point": [1, 2.5],
        "many": [{"share": 0.5}], "free": {"list": [1, null]}}"""
    expected = Outer("x", 3, "b", "00ff", Inner(1.0), (1.0, 2.5), (Inner(0.5),), {"list": [1, None]})
    assert parse_record(text, Outer) == expected
    assert parse_record(b'{"n": 1}', dict[str, int]) == {"n": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: Expecting value"),
        ('{"name":\n oh}', "line 2, column 2: Expecting value"),
        (b'{"name": "\xff"}', "byte 10 is not UTF-8"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"name": ' + "9" * 5000 + "}", "a number has too many digits"),
        ('{"name": NaN}', "NaN is not a JSON number"),
        ('{"name": "a", "name": "b"}', "the key 'name' occurs twice"),
        ('{"name": "\\u0000"}', "name is .* expected text without a null character"),
        ('{"name": "\\ud800"}', "name is .* expected text without a lone surrogate"),
        ('{"name": null}', "name is None, expected text"),
        ('{"name": "x", "count": 1.0}', r"count is 1\.0, expected an integer of at least 1"),
        ('{"name": "x", "count": true}', "count is True, expected an integer"),
        ('{"name": "x", "count": 1000000000000000000000}', "count is 10+, expected an integer"),
        ('{"name": "x", "kind": "c"}', "kind is 'c', expected one of a, b"),
        ('{"name": "x", "code": "0FFF"}', r"code is '0FFF', expected text of the form \[0-9a-f\]\{4\}"),
        ('{"name": "x", "inner": {"share": 1.5}}', r"inner\.share is 1\.5, expected a number from 0 to 1"),
        ('{"name": "x", "inner": {"share": 1e999}}', r"inner\.share is inf, expected a number from 0 to 1"),
        ('{"name": "x", "point": [1]}', r"point is \[1\], expected a list of 2 values"),
        ('{"name": "x", "many": [{"share": "s"}]}', r"many\[0\]\.share is 's', expected a number"),
        ('{"name": "x", "line\\nbreak": 1}', r"missing or unknown key: line\\nbreak"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(text: str | bytes, message: str) -> None:
    with pytest.raises(InvalidRecordError, match=message) as error:
        parse_record(text, Outer)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


def test_a_name_that_is_not_utf8_survives() -> None:
    assert os.fsencode(parse_json('"photo \\udcff.jpg"')) == b"photo \xff.jpg"


def test_a_file_is_told_by_its_name_with_the_next_step(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with pytest.raises(OutputError, match=r"run\.json does not exist: remove it"):
        read_record(path, Outer, OutputError, "remove it")
    path.write_text('{"name": 1}')
    with pytest.raises(OutputError, match=r"run\.json is not valid \(name is 1, expected text\): remove it"):
        read_record(path, Outer, OutputError, "remove it")
    path.unlink()
    path.mkdir()
    with pytest.raises(OutputError, match=r"cannot read .*run\.json: it is a folder, not a file"):
        read_record(path, Outer, OutputError, "remove it")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("{}")
    path.chmod(0)
    with pytest.raises(OutputError, match=r"cannot read .*run\.json: permission denied: make it readable"):
        read_record(path, Outer, OutputError, "remove it")
