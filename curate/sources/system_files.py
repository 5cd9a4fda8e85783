"""Files and folders that operating systems, storage devices and tools leave beside photos."""

_FOLDERS = {
    "@eadir": "@eaDir",
    "#recycle": "#recycle",
    "#snapshot": "#snapshot",
    "@recycle": "@Recycle",
    "@recently-snapshot": "@Recently-Snapshot",
    "$recycle.bin": "$RECYCLE.BIN",
    "system volume information": "System Volume Information",
    "__macosx": "__MACOSX",
    "lost+found": "lost+found",
    ".ipynb_checkpoints": ".ipynb_checkpoints",
}
"""Lower-case name -> name in reports."""
_FILES = {"thumbs.db": "Thumbs.db", "ehthumbs.db": "ehthumbs.db", "desktop.ini": "desktop.ini"}
_HIDDEN = "hidden (name begins with a dot)"

SYSTEM_KINDS = frozenset({*(f"in {name}" for name in _FOLDERS.values()), *_FILES.values(), _HIDDEN})
"""What `system_kind` returns; keys of `Store.ignored` beside file extensions."""


def system_kind(name: str, *, folder: bool) -> str | None:
    """Return the kind of system file to which this file or folder name belongs; None for an ordinary name.

    Only whole names count: a person called "recycle" or "@eadira" is ordinary.
    """
    names = _FOLDERS if folder else _FILES
    known = names.get(name.lower())
    if known is not None:
        return f"in {known}" if folder else known
    return _HIDDEN if name.startswith(".") and name != ".." else None


def system_kind_of_path(parts: list[str]) -> str | None:
    """Return the kind of a file by the outermost system name in its path (folders, then the file's name)."""
    for index, part in enumerate(parts):
        kind = system_kind(part, folder=index < len(parts) - 1)
        if kind is not None:
            return kind
    return None
