"""ACTIONS: what a person can decide in the page, as edits of overrides.csv."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from curate.errors import PolicyError
from curate.overrides import MOVE, NOT_DUPLICATE, NOT_SAME_PERSON, SAME_PERSON, sorted_pair
from curate.review.document import COPY, PERSON, VERDICT, Document, Edit


class RefusedError(PolicyError):
    """An action that cannot be done; the message says why, and what to do instead."""


@dataclass(frozen=True)
class Target:
    """What an action is applied to.

    Attributes:
        photos: image_ids.
        identity: of the person on the screen; of a pair, the one that takes the photos.
        other: identity that photos are moved to, or that is joined or kept apart.
        kept: image_id of the kept photo of each of `photos`, for copies.
    """

    photos: tuple[str, ...] = ()
    identity: str = ""
    other: str = ""
    kept: tuple[str, ...] = ()


def _verdict(word: str) -> Callable[[Document, Target], Edit]:
    def edit(document: Document, target: Target) -> Edit:
        return document.edit(document.new_line(image_id=photo, verdict=word) for photo in target.photos)

    return edit


def _move(document: Document, target: Target) -> Edit:
    lines = [document.new_line(image_id=photo, verdict=MOVE, identity=target.other) for photo in target.photos]
    # A photo is moved in order to be kept: an earlier verdict no longer applies.
    return document.edit(lines, [(VERDICT, photo) for photo in target.photos])


def _reset(document: Document, target: Target) -> Edit:
    return document.edit(removed=[(kind, photo) for photo in target.photos for kind in (VERDICT, MOVE)])


def _join(document: Document, target: Target) -> Edit:
    return _persons(document, target, SAME_PERSON)


def _apart(document: Document, target: Target) -> Edit:
    return _persons(document, target, NOT_SAME_PERSON)


def _persons(document: Document, target: Target, word: str) -> Edit:
    if target.identity == target.other:
        raise RefusedError(f"{target.identity} is one identity: choose another one")
    line = document.new_line(verdict=word, identity=target.identity, other=target.other)
    edit = document.edit([line])
    trial = Document(document.head, document.names, document.path)
    for known in document.lines:
        if known.key and known.key[0] == PERSON and known.text not in {text for _, text in edit.removed}:
            trial.apply(Edit(added=(known.text,)))
    trial.apply(Edit(added=edit.added))
    try:
        trial.overrides()
    except PolicyError as error:
        raise RefusedError(
            f"{target.identity} and {target.other} are joined through other identities: undo that first"
        ) from error
    return edit


def _not_copy(document: Document, target: Target) -> Edit:
    pairs = [pair for pair in zip(target.photos, target.kept, strict=True) if pair[1]]
    if not pairs:
        raise RefusedError("this photo is no copy: choose the copy, not the photo that its group keeps")
    lines = [document.new_line(image_id=photo, verdict=NOT_DUPLICATE, other=kept) for photo, kept in pairs]
    fresh = [line for line, pair in zip(lines, pairs, strict=True) if not document.cells(COPY, *sorted_pair(*pair))]
    return document.edit(fresh)


@dataclass(frozen=True)
class Action:
    """An action: its key in the page, what it does to the document, and whether it is about photos or a pair."""

    key: str
    edit: Callable[[Document, Target], Edit]
    of_photos: bool = True


ACTIONS = {
    "keep": Action("K", _verdict("keep")),
    "drop": Action("D", _verdict("drop")),
    "move": Action("M", _move),
    "split": Action("S", _move),
    "reset": Action("R", _reset),
    "not_copy": Action("X", _not_copy),
    "join": Action("J", _join, of_photos=False),
    "apart": Action("X", _apart, of_photos=False),
}
"""Name -> action."""


def new_name(identity: str, known: Callable[[str], bool]) -> str:
    """Return a name for photos that are split from an identity: "anna (2)"."""
    number = 2
    while known(f"{identity} ({number})"):
        number += 1
    return f"{identity} ({number})"


def edit_of(action: str, document: Document, target: Target) -> Edit:
    """Return the edit of an action. Raises RefusedError where it cannot be done."""
    return ACTIONS[action].edit(document, target)


def photos_of(edits: Sequence[Edit], document: Document) -> set[str]:
    """Return the image_ids whose lines edits remove or add."""
    texts = [text for edit in edits for text in (*edit.added, *(text for _, text in (*edit.removed, *edit.inserted)))]
    cells = [document.line(text).cells for text in texts]
    return {part for cell in cells if cell for part in (cell[0], cell[4]) if part}
