"""What the page shows of a person, a group of copies, a pair of identities, or one photo, as plain values for JSON."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.decide.rules import RULES
from curate.report.doubts import find_doubts
from curate.report.sheets import format_number
from curate.review.index import NONE, PhotoIndex, undecided
from curate.review.queues import COPIES, matches, title_of
from curate.review.session import Review
from manifests.schema import BOX, LANDMARKS, REASONS, VERDICTS
from manifests.schema import MANIFEST as COLUMNS

Ints = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]
Values = dict[str, Any]

MAX_MATCHING, MAX_OTHERS, MAX_OF_PAIR = 120, 180, 18
"""Photos shown of a screen: those of the queue, the others, and those of each identity of a pair."""

HEADS = 6
"""Photos that stand for an identity: those nearest to its centroid."""

_SHOWN = {rule.reason: rule.shown for rule in RULES}
_EXPLAINED = list(dict.fromkeys(("reasons", "error", *(name for shown in _SHOWN.values() for name in shown))))
_OF_PERSON = sum(1 << REASONS.index(reason) for reason in ("other_person", "uncertain_person"))
_HIDDEN = {"edge_grid", "shard", "crop_offset", "crop_length", "crop_crc", "mask_offset", "mask_length", "mask_crc"}


def screen(review: Review, key: str, queue: str) -> Values:
    """Return a screen of a queue. Raises KeyError for a key or queue that does not exist."""
    kind, *numbers = key.split(":")
    codes = [_checked(number) for number in numbers]
    match (kind, codes):
        case ("person", [code]) if code < len(review.index.names.names):
            return _person(review, code, queue)
        case ("pair", [a, b]) if max(a, b) < len(review.index.names.names):
            return _pair(review, a, b)
        case ("copies", [group]):
            return _copies(review, group)
    raise KeyError(key)


def tiles(index: PhotoIndex, rows: Rows, why: Sequence[Sequence[str]] | None = None) -> list[Values]:
    """Return what the page shows of photos in a grid. why: lines for each of them."""
    columns = zip(
        rows.tolist(),
        index.ids(rows),
        index.verdict(rows).tolist(),
        (index.human[rows] >= 0).tolist(),
        index.moved[rows].tolist(),
        index.open(rows).tolist(),
        index.identity[rows].tolist(),
        (index.shard[rows] != NONE).tolist(),
        why or [()] * len(rows),
        _suggestions(index, rows).tolist(),
        strict=True,
    )
    return [
        {
            "row": row, "name": name, "verdict": VERDICTS[verdict], "human": human, "moved": moved, "open": is_open,
            "identity": identity, "crop": crop, "why": list(lines),
        } | ({"suggested": suggested} if suggested != NONE else {})
        for row, name, verdict, human, moved, is_open, identity, crop, lines, suggested in columns
    ]  # fmt: skip


def person(index: PhotoIndex, code: int) -> Values:
    """Return an identity: its name, its number of photos, and the rows that stand for it."""
    rows = np.flatnonzero(index.identity == code)
    return {"code": code, "name": title_of(index, code), "photos": len(rows), "heads": _heads(index, rows)}


def photo(review: Review, row: int) -> Values:
    """Return everything about a photo: its tile, its numbers with units and meanings, box, landmarks, and copies."""
    index = review.index
    rows = index.members(np.array([row], np.int64))
    table = review.decider.decide(rows, review.document)
    values = table.slice(int(np.searchsorted(rows, row)), 1).to_pylist()[0]
    reasons = explanations(table, review)[int(np.searchsorted(rows, row))]
    numbers = [
        [column.name, _text(values[column.name]), column.unit, column.meaning]
        for column in COLUMNS
        if column.name not in _HIDDEN and values[column.name] not in (None, [])
    ]
    size = [values["width"], values["height"]]
    return {
        **tiles(index, np.array([row], np.int64), [reasons])[0],
        "numbers": numbers,
        "size": size if size[0] else None,
        "box": [values[name] for name in BOX] if values["face_id"] else None,
        "landmarks": [values[name] for name in LANDMARKS] if values["face_id"] else None,
        "person": person(index, int(index.identity[row])),
    }


def explanations(manifest: pa.Table, review: Review) -> list[list[str]]:
    """Return why each photo has its verdict, or is doubtful: lines with the numbers."""
    doubtful = find_doubts(undecided(manifest), review.decider.applied)
    doubt = dict(zip(doubtful.rows.tolist(), doubtful.why, strict=True))
    lines = []
    for number, row in enumerate(manifest.select(_EXPLAINED).to_pylist()):
        texts = []
        for reason in row["reasons"]:
            shown = [(name, row[name]) for name in _SHOWN.get(reason, ()) if row[name] is not None]
            numbers = ", ".join(f"{name.replace('_', ' ')} {format_number(value)}" for name, value in shown)
            texts.append(reason.replace("_", " ") + (f": {numbers}" if numbers else ""))
        texts += [row["error"]] if row["error"] else []
        texts += doubt[number].split("; ") if number in doubt else []
        lines.append(texts)
    return lines


def _person(review: Review, code: int, queue: str) -> Values:
    index = review.index
    of_person = index.identity == code
    found = np.flatnonzero(of_person & matches(queue, index, review.dataset))
    found = found[np.lexsort((found, -index.doubt[found]))]
    others = np.setdiff1d(np.flatnonzero(of_person), found)
    others = others[np.lexsort((others, -np.nan_to_num(index.own[others], nan=-2)))]
    shown = found[:MAX_MATCHING]
    groups = [
        {"title": "matching", "total": len(found), "photos": _explained(review, shown)},
        {"title": "others", "total": len(others), "photos": tiles(index, others[:MAX_OTHERS])},
    ]
    rows = np.flatnonzero(of_person)
    return _values(review, "person", [code], groups, rows, shown)


def _pair(review: Review, a: int, b: int) -> Values:
    index = review.index
    groups, shown = [], []
    for code in (a, b):
        rows = np.flatnonzero(index.identity == code)
        best = rows[np.argsort(-np.nan_to_num(index.own[rows], nan=-2), kind="stable")][:MAX_OF_PAIR]
        groups.append({
            "title": title_of(index, code), "total": len(rows), "photos": tiles(index, best),
        })  # fmt: skip
        shown.append(best)
    rows = np.flatnonzero(np.isin(index.identity, [a, b]))
    return _values(review, "pair", [a, b], groups, rows, np.concatenate(shown))


def _copies(review: Review, group: int) -> Values:
    index = review.index
    rows = np.flatnonzero(index.copies == group)
    if not len(rows):
        raise KeyError(f"copies:{group}")
    rows = rows[np.lexsort((rows, index.copy_of[rows] != NONE))][:MAX_MATCHING]
    measures, relations = review.decider.tables(np.sort(rows))
    about = {}
    for row, measured, related in zip(np.sort(rows).tolist(), measures.to_pylist(), relations.to_pylist(), strict=True):
        flaw = related["copy_flaw"]
        size = f"{measured['width']} x {measured['height']} px, " if measured["width"] else ""
        about[row] = [f"{size}{measured['file_size'] / 1000:,.0f} KB", *([flaw] if flaw else [])]
    kept = index.copy_of[rows] == NONE
    kinds = np.where(kept, "kept of its group", np.where(index.copy_kind[rows] == 0, "same bytes", "copy")).tolist()
    lines = [[kind, *about[row]] for kind, row in zip(kinds, rows.tolist(), strict=True)]
    photos = [shown | {"kept": k} for shown, k in zip(tiles(index, rows, lines), kept.tolist(), strict=True)]
    codes = list(dict.fromkeys(index.identity[rows].tolist()))
    groups = [{"title": COPIES, "total": len(rows), "photos": photos}]
    return _values(review, "copies", codes, groups, rows, rows)


def _values(review: Review, kind: str, codes: list[int], groups: list[Values], rows: Rows, shown: Rows) -> Values:
    index = review.index
    suggested = {*_suggestions(index, shown).tolist()} - {NONE}
    keep, review_, drop = np.bincount(index.verdict(rows), minlength=len(VERDICTS)).tolist()
    return {
        "kind": kind,
        "title": " | ".join(title_of(index, code) for code in codes),
        "identities": codes,
        "counts": [keep, review_, drop],
        "groups": groups,
        "people": {str(code): person(index, code) for code in sorted({*codes, *suggested})},
    }


def _explained(review: Review, rows: Rows) -> list[Values]:
    if not len(rows):
        return []
    members = review.index.members(rows)
    lines = explanations(review.decider.decide(members, review.document), review)
    places = np.searchsorted(members, rows).tolist()
    return tiles(review.index, rows, [lines[place] for place in places])


def _suggestions(index: PhotoIndex, rows: Rows) -> Ints:
    """The identity that each photo may belong to: the suggested one, or the nearest one of a doubtful person."""
    doubtful = index.reasons[rows] & np.uint32(_OF_PERSON) > 0
    suggested = index.suggested[rows]
    suggested = np.where((suggested == NONE) & doubtful, index.nearest[rows], suggested)
    return np.where(suggested == index.identity[rows], NONE, suggested).astype(np.int32)


def _heads(index: PhotoIndex, rows: Rows) -> list[int]:
    """Rows of the kept photos nearest to the centroid; of the others where none is kept."""
    rows = rows[index.shard[rows] != NONE]
    kept = rows[index.verdict(rows) == 0]
    rows = kept if len(kept) else rows
    own = np.nan_to_num(index.own[rows], nan=-2)
    heads: list[int] = rows[np.argsort(-own, kind="stable")][:HEADS].tolist()
    return heads


def _checked(number: str) -> int:
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise KeyError(number)
    return int(number)


def _text(value: object) -> str:
    if isinstance(value, float):
        return format_number(value) if math.isfinite(value) else "-"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
