"""Names of dataset splits in paths."""

import re
from collections.abc import Iterable

_NAMES = {
    "train": "train", "training": "train", "test": "test", "testing": "test", "val": "val", "valid": "val",
    "validation": "val",
}  # fmt: skip
_SET = re.compile(r"[-_ ]?set$")
_IN_NAME = re.compile(r"(?:^|[^a-z])(train|test|validation|valid|val)(?:ing)?(?:[^a-z]|$)", re.IGNORECASE)


def split_name(folder_name: str) -> str | None:
    """Return "train", "test" or "val" where the whole name is one of a split ("Train", "val_set"); else None."""
    return _NAMES.get(_SET.sub("", folder_name.lower()))


def split_in_name(folder_name: str) -> str | None:
    """Return the split that a name contains as a word: "train" for "vggface2_train"; else None."""
    match = _IN_NAME.search(folder_name)
    return _NAMES[match[1].lower()] if match else None


def split_of_folders(folder_names: Iterable[str]) -> str | None:
    """Return the split of the first name that is one of a split; else None."""
    return next((split for name in folder_names if (split := split_name(name))), None)
