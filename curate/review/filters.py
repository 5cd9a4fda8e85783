"""Filters on columns of the manifest: `sharpness < 0.6 and yaw > 30 and identity ~ anna`."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import PolicyError
from curate.review.index import PhotoIndex
from manifests.layout import MANIFEST
from manifests.schema import MANIFEST as COLUMNS
from manifests.schema import REASONS, VERDICTS
from manifests.table_file import TableFile

Flags = npt.NDArray[np.bool_]

MAX_LENGTH = 1000

_TERM = re.compile(r"\s*(?P<column>[a-z_0-9]+)\s*(?P<op><=|>=|!=|=|<|>|~)\s*(?P<value>.*?)\s*")
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip
_TYPES = {column.name: column.dtype for column in COLUMNS}
EXAMPLE = "sharpness < 0.6 and yaw > 30 and identity ~ anna"


class FilterError(PolicyError):
    """A filter that cannot be read; the message names the part and what is expected."""


@dataclass(frozen=True)
class Term:
    """One comparison of a column with a value."""

    column: str
    op: str
    value: str


def parse_filter(text: str) -> tuple[Term, ...]:
    """Parse comparisons joined by `and`. Raises FilterError."""
    if len(text) > MAX_LENGTH:
        raise FilterError(f"the filter has {len(text):,} characters, at most {MAX_LENGTH:,} are read")
    terms = []
    for part in re.split(r"\s+and\s+", text.strip()):
        match = _TERM.fullmatch(part)
        if match is None:
            raise FilterError(f"{part!r} is no comparison; write for example {EXAMPLE}")
        term = Term(match["column"], match["op"], match["value"].strip("\"'"))
        _check(term)
        terms.append(term)
    return tuple(terms)


def _check(term: Term) -> None:
    dtype = _TYPES.get(term.column)
    if dtype is None:
        raise FilterError(f"the manifest has no column {term.column!r}; see the reference page Columns")
    if term.column == "reasons":
        if term.value not in REASONS or term.op not in ("=", "!="):
            raise FilterError(f"reasons {term.op} {term.value!r}: write = or != and one of {', '.join(REASONS)}")
    elif _numeric(dtype):
        try:
            float(term.value)
        except ValueError:
            raise FilterError(f"{term.column} is a number; {term.value!r} is none") from None
        if term.op == "~":
            raise FilterError(f"{term.column} is a number; write <, <=, =, !=, >= or >")
    elif pa.types.is_boolean(dtype):
        if term.value not in ("true", "false") or term.op not in ("=", "!="):
            raise FilterError(f"{term.column} is true or false; write {term.column} = true")
    elif pa.types.is_list(dtype) or pa.types.is_binary(dtype):
        raise FilterError(f"{term.column} cannot be compared")
    elif term.op not in ("=", "!=", "~"):
        raise FilterError(f"{term.column} is text; write = or != for equal text, ~ for a part of it")


def matching(terms: tuple[Term, ...], dataset: Path, index: PhotoIndex) -> Flags:
    """Return the photos to which all terms apply, (N,); a missing value never matches.

    Verdicts, reasons and identities are those of now, other columns those of the manifest.
    """
    flags = np.ones(len(index), bool)
    file = TableFile(dataset / MANIFEST)
    for term in terms:
        flags &= _matches(term, file, index)
    return flags


def _matches(term: Term, file: TableFile, index: PhotoIndex) -> Flags:
    if term.column == "reasons":
        present = index.reasons >> np.uint32(REASONS.index(term.value)) & 1 > 0
        return np.asarray(present if term.op == "=" else ~present, bool)
    if term.column == "verdict":
        codes = pa.array([_text_matches(term, name) for name in VERDICTS])
        return np.asarray(codes)[index.verdict()]
    if term.column == "identity":
        codes = np.array([_text_matches(term, name) for name in index.names.names], bool)
        return np.asarray(codes[index.identity])
    column = file.read([term.column])[term.column]
    if _numeric(column.type):
        values = np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
        matches = _COMPARISONS[term.op](values, float(term.value))
        return np.asarray(matches, bool) & np.isfinite(values)
    if pa.types.is_boolean(column.type):
        wanted = (term.value == "true") is (term.op == "=")
        return np.asarray(column.to_numpy() == wanted, bool)
    text = column.cast(pa.string())
    if term.op == "~":
        found = pc.match_substring(text, term.value, ignore_case=True)
    else:
        found = (pc.equal if term.op == "=" else pc.not_equal)(text, term.value)
    return np.asarray(pc.fill_null(found, False).to_numpy(), bool)


def _text_matches(term: Term, text: str) -> bool:
    if term.op == "~":
        return term.value.lower() in text.lower()
    return (text == term.value) is (term.op == "=")


def _numeric(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype))
