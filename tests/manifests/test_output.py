"""Atomic writing: final names hold whole content only, partials are removed, a folder has one writer."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from manifests import output
from manifests.errors import BusyError, OutputError
from manifests.output import OutputLock, atomic, atomic_folder, sync_file_system
from manifests.partials import _PARTIAL, remove_partials, remove_partials_of


def test_atomic_leaves_the_old_file_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic(path) as partial:
        partial.write_text(str(1 / 0))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from manifests.output import atomic\n"
        "with atomic(sys.argv[1]) as partial: partial.write_text('half'); os.kill(os.getpid(), 9)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "faces/b-000.parquet")], check=False)
    assert run.returncode == -9
    (partial,) = (tmp_path / "faces").iterdir()
    assert partial.name.startswith(".b-000.parquet.partial-")
    assert remove_partials(tmp_path) == 1
    assert list((tmp_path / "faces").iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 255, "ä" * 125 + ".jpg", "名" * 85])
def test_file_names_of_255_bytes_are_written(tmp_path: Path, name: str) -> None:
    with atomic(tmp_path / name) as partial:
        assert len(os.fsencode(partial.name)) <= 255
        assert _PARTIAL.match(partial.name), "remove_partials recognises it"
        partial.write_text("data")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("code", "message"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only")])
def test_a_write_error_names_the_file_and_the_cause(tmp_path: Path, code: int, message: str) -> None:
    with pytest.raises(OutputError, match=rf"b-000\.parquet: .*{message}"), atomic(tmp_path / "b-000.parquet"):
        raise OSError(code, os.strerror(code))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission denied"), atomic(tmp_path / "x"):
        pass


def test_a_file_in_the_way_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("I am a file")
    with pytest.raises(OutputError, match="choose another --out"), atomic(tmp_path / "out" / "x"):
        pass


def test_an_error_of_the_source_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "photo.jpg")


def test_the_lock_names_the_process_that_holds_it(tmp_path: Path) -> None:
    with OutputLock(tmp_path / "out"):
        code = "import sys; from manifests.output import OutputLock; OutputLock(sys.argv[1]).__enter__()"
        run = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "out"], capture_output=True, text=True, check=False
        )
        assert f"in use by another run (process {os.getpid()})" in run.stderr
        with pytest.raises(BusyError), OutputLock(tmp_path / "out"):
            pass
    with OutputLock(tmp_path / "out"):
        pass


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, sys; from manifests.output import OutputLock\nwith OutputLock(sys.argv[1]): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == -9
    with OutputLock(tmp_path):
        pass


def test_partials_of_living_processes_are_left_alone(tmp_path: Path) -> None:
    with atomic(tmp_path / "a.txt") as living, atomic_folder(tmp_path / "pages") as pages:
        (tmp_path / ".a.txt.partial-1234abcd").write_text("half")
        (tmp_path / ".pages.partial-1234abcd").mkdir()
        (tmp_path / ".pages.partial-1234abcd" / "1.jpg").write_text("half")
        (tmp_path / ".other.partial").write_text("another file")
        assert remove_partials(tmp_path) == 2
        assert living.exists()
        assert pages.exists()
        (tmp_path / ".a.txt.partial-1").write_text("half")
        (tmp_path / ".b.txt.partial-1").write_text("half")
        remove_partials_of(tmp_path / "a.txt")
        assert living.exists()
        assert not (tmp_path / ".a.txt.partial-1").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "pages", ".other.partial", ".b.txt.partial-1"}
    remove_partials_of(tmp_path / "missing" / "a.txt")


def test_a_folder_removes_those_of_killed_runs(tmp_path: Path) -> None:
    (tmp_path / ".pages.partial-1234abcd" / "pictures").mkdir(parents=True)
    with atomic_folder(tmp_path / "pages") as folder:
        (folder / "1.txt").write_text("1")
    assert [path.name for path in tmp_path.iterdir()] == ["pages"]


def test_what_another_run_is_removing_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, locked = fcntl.flock, []

    def taken_once(descriptor: int, operation: int) -> None:
        if len(locked) in (0, 2):  # the first try of the file, and of the folder
            locked.append(descriptor)
            raise BlockingIOError
        locked.append(descriptor)
        lock(descriptor, operation)

    monkeypatch.setattr("manifests.partials.fcntl.flock", taken_once)
    with atomic(tmp_path / "a.txt") as partial, atomic_folder(tmp_path / "pages") as folder:
        assert len(locked) == 4
        assert [len(list(tmp_path.glob(f".{name}.partial-*"))) for name in ("a.txt", "pages")] == [2, 2]
        partial.write_text("a")
        (folder / "1.txt").write_text("1")
    assert (tmp_path / "a.txt").read_text() == "a"


def test_a_folder_takes_the_place_of_another_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in ("first", "second"):
        with atomic_folder(tmp_path / "pages") as folder:
            (folder / f"{content}.txt").write_text(content)
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["second.txt"]
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "pages") as folder:
        (folder / "third.txt").write_text(str(1 / 0))
    # Without an exchange, as on other file systems.
    monkeypatch.setattr(output, "_RENAME_EXCHANGE", 1 << 30)
    with atomic_folder(tmp_path / "pages") as folder:
        (folder / "fourth.txt").write_text("fourth")
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["fourth.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["pages"]


def test_new_folders_are_synced_with_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(output, "_sync", lambda path: synced.append(path.name.split(".partial-")[0]))
    with atomic(tmp_path / "a/b/c.txt") as partial:
        partial.write_text("data")
    assert synced == [".c.txt", "b", "a", tmp_path.name]
    with atomic(tmp_path / "a/b/d.txt", sync=False) as partial:
        partial.write_text("data")
    assert len(synced) == 4
    sync_file_system(tmp_path)


def test_a_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    with OutputLock(tmp_path / "new/out"):
        assert (tmp_path / "new/out/.lock").exists()
    assert list(tmp_path.iterdir()) == []
    with OutputLock(tmp_path / "out"):
        (tmp_path / "out/result").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result"]
    (tmp_path / "empty").mkdir()
    with OutputLock(tmp_path / "empty"):
        pass
    assert (tmp_path / "empty").exists(), "it was there before"


def test_of_many_processes_one_has_the_lock(tmp_path: Path) -> None:
    # Each holds the lock for a moment and removes the file; two at once would see the other's mark.
    code = (
        "import sys, pathlib, manifests.output as o, manifests.errors as e\n"
        "mark = pathlib.Path(sys.argv[1]) / 'mark'\n"
        "for _ in range(200):\n"
        "    try:\n"
        "        with o.OutputLock(sys.argv[1]):\n"
        "            mark.touch(exist_ok=False); mark.unlink()\n"
        "    except e.BusyError: pass\n"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out")]) for _ in range(4)]
    assert [run.wait() for run in runs] == [0, 0, 0, 0]
    assert not list(tmp_path.rglob("*.*"))
