"""Keys of a recipe that are given on the command line: `--set KEY=VALUE`."""

import tomllib
from collections.abc import Sequence
from typing import Any

from train.errors import RecipeError


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Parse texts "key=value" with values as in TOML; a value that is none, such as face, is text.

    Raises RecipeError for a text without "=", or a key that is given twice.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        key, separator, value = (part.strip() for part in text.partition("="))
        if not separator or not key:
            raise RecipeError(f"--set {text}: write KEY=VALUE, for example size=128 or mask=face")
        if key in settings:
            raise RecipeError(f"--set {text}: {key} is given twice")
        try:
            settings[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            settings[key] = value
    return settings
