"""File names: valid on every file system, unique without regard to case, and short enough."""

import hashlib
import os
import re
import unicodedata

MAX_NAME_BYTES = 255
"""Longest file name of common file systems."""

MAX_PORTABLE_BYTES = 120
"""Longest portable name, in UTF-8: leaves room for folders in the 260 characters of a Windows path."""

_MAX_STEM_BYTES = 200
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)


def portable(name: str) -> str:
    """One path component as a name that is valid on Linux, macOS and Windows, in Unicode normalisation form C.

    Forbidden characters, also bytes that are not UTF-8, become "_"; outer spaces and trailing dots are removed; names
    that Windows reserves (CON, NUL, COM1, ...) and names without any character but dots get "_" in front. Different
    names may become equal, see `UniqueNames`.
    """
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", name)).strip(" ")
    name = _shortened(name, MAX_PORTABLE_BYTES).rstrip(" .")
    return f"_{name}" if not name or _RESERVED.match(name) else name


class UniqueNames:
    """Gives each name a portable one that no earlier name has, also where the file system ignores case."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def add(self, name: str) -> str:
        """The portable form of `name`, with "-2", "-3", ... behind it where an earlier name has it."""
        plain = unique = portable(name)
        number = self._numbers.get(_caseless(plain), 0)
        while _caseless(unique) in self._numbers:
            number += 1
            unique = f"{plain}-{number}"
        self._numbers[_caseless(plain)] = max(number, 1)
        self._numbers.setdefault(_caseless(unique), 1)
        return unique


def with_suffix(name: str, suffix: str) -> str:
    """`name` + `suffix`, at most MAX_NAME_BYTES long: the end of a longer `name` is replaced by a hash of it."""
    available = MAX_NAME_BYTES - len(os.fsencode(suffix))
    if len(os.fsencode(name)) > available:
        mark = f"~{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"
        name = _shortened(name, available - len(mark)) + mark
    return name + suffix


def temporary_stem(name: str) -> str:
    """`name`, or a hash of it where a prefix and a suffix could make it too long for a file name."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= _MAX_STEM_BYTES else hashlib.sha256(encoded).hexdigest()[:16]


def _shortened(name: str, size: int) -> str:
    """The longest beginning of `name` that has at most `size` bytes."""
    while len(os.fsencode(name)) > size:
        name = name[: -max(1, (len(os.fsencode(name)) - size) // 4)]
    return name


def _caseless(name: str) -> str:
    """Equal for names that differ in case or Unicode form only (canonical caseless matching of Unicode)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
