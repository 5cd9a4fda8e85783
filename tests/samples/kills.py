"""Kills at named steps of writing: in a child process that ends there without any clean-up, as after SIGKILL."""

import hashlib
import os
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import pytest

from manifests import output
from manifests.partials import is_temporary

_KILLED, _FAILED = 137, 1
_CREATE, _RENAME = output.new_partial, output._rename


def killed_at(step: int, action: Callable[[], object]) -> bool:
    """Run `action` in a child process that ends at its `step`-th step of writing; return whether there was one.

    The steps of a file are: it is created, half of it is written, it is whole and has no name yet, it has its name.
    """
    child = os.fork()
    if child == 0:
        try:
            _end_at(step)
            action()
            os._exit(0)
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            os._exit(_FAILED)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, _KILLED), code
    return code == _KILLED


def _end_at(step: int) -> None:
    output.new_partial, output._rename = steps_of_writing(step, lambda: os._exit(_KILLED))


class Stopped(BaseException):
    """Raised at a step of writing, where a child process is not possible."""


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise `Stopped` at that step of writing, counted as by `killed_at`."""

    def stop() -> NoReturn:
        raise Stopped

    create, rename = steps_of_writing(step, stop)
    monkeypatch.setattr(output, "new_partial", create)
    monkeypatch.setattr(output, "_rename", rename)


def steps_of_writing(step: int, end: Callable[[], NoReturn]) -> tuple[Callable[..., Any], Callable[..., None]]:
    """Replacements of `new_partial` and `_rename` of `manifests.output` that call `end` at a step of writing.

    They may be called in several threads: each step has a number of its own (`next` of a `count` is atomic).
    """
    steps = count(1)
    create, rename = _CREATE, _RENAME

    def reached() -> bool:
        return next(steps) == step

    def create_and_end(path: Path) -> tuple[Path, int, list[Path]]:
        created = create(path)
        if reached():
            end()
        return created

    def rename_and_end(source: Path, target: Path) -> None:
        if reached():
            for file in [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]:
                os.truncate(file, file.stat().st_size // 2)
            end()
        if reached():
            end()
        rename(source, target)
        if reached():
            end()

    return create_and_end, rename_and_end


def contents(folder: Path) -> dict[str, str]:
    """Hash of each file of a folder, locks and unfinished ones left out."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(is_temporary(part) for part in path.relative_to(folder).parts)
    }


def temporaries(folder: Path) -> list[Path]:
    """Locks and unfinished files of a folder."""
    return [path for path in folder.rglob("*") if is_temporary(path.name)]
