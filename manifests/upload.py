"""Writing of objects: as a file of this machine first, which is put when it is whole."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manifests.errors import OutputError
from manifests.locations import ObjectPath


@contextmanager
def uploaded(path: ObjectPath) -> Iterator[Path]:
    """Context manager: yield the path of an empty local file; on exit it becomes the object `path`.

    After an error or a kill the object is unchanged. Raises OutputError where it cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="swapset-") as folder:
        partial = Path(folder, path.name)
        partial.touch()
        yield partial
        _put(partial, path)


@contextmanager
def uploaded_folder(path: ObjectPath) -> Iterator[Path]:
    """Context manager: yield an empty local folder; on exit its files become the only objects below `path`.

    The files directly in the folder are put last, so that a page is not there before its pictures.
    """
    with tempfile.TemporaryDirectory(prefix="swapset-") as folder:
        yield Path(folder)
        names = {file.relative_to(folder) for file in Path(folder).rglob("*") if file.is_file()}
        for name in sorted(names, key=lambda name: (-len(name.parts), name)):
            _put(Path(folder, name), path / name)
        for earlier in list(path.rglob("*")):
            if earlier.relative_to(path) not in names:
                earlier.unlink(missing_ok=True)


def _put(partial: Path, path: ObjectPath) -> None:
    from manifests.object_storage import put

    try:
        put(partial, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
