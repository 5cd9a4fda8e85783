"""The store `directory`: links, unreadable files, names that are not UTF-8."""

import os
from pathlib import Path

import pytest

from curate.errors import DecodeError
from curate.sources import open_source
from tests.samples.sources import listed, make_directory, only


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"ren\xe9")
    os.mkdir(folder)
    with open(os.path.join(folder, b"\xff 50%41.jpg"), "wb") as file:
        file.write(b"pixels")
    source = open_source("folder", tmp_path)
    assert listed(source) == {"ren%E9": ["ren%E9/%FF 50%2541.jpg"]}
    assert source.read(only(source, "ren%E9")) == b"pixels"


def test_links_are_followed_once_and_loops_refused(tmp_path: Path) -> None:
    root, elsewhere = make_directory(tmp_path / "root", "al/1.jpg"), make_directory(tmp_path / "elsewhere", "bo/2.jpg")
    (root / "al/up").symlink_to(root)
    (root / "al/self").symlink_to(root / "al")
    (root / "al/slash").symlink_to("/")
    (root / "al/round.jpg").symlink_to("round.jpg")
    (root / "al/gone.jpg").symlink_to("nowhere.jpg")
    (root / "al/linked.jpg").symlink_to(elsewhere / "bo/2.jpg")
    (root / "bo").symlink_to(elsewhere / "bo")
    (root / "parent").symlink_to(tmp_path)
    source = open_source("folder", root)
    refusals = {entry.image_id: entry.refusal for name in source.identities() for entry in source.entries(name)}
    loop = "symlink loop: leads to a folder that is listed already"
    assert refusals == {
        "al/1.jpg": None, "al/linked.jpg": None, "al/gone.jpg": "broken link", "al/round.jpg": "symlink loop",
        "al/up": loop, "al/self": loop, "al/slash": loop, "bo/2.jpg": None, "parent": loop,
    }  # fmt: skip
    entries = {entry.image_id: entry for entry in source.entries("al")}
    assert source.read(entries["al/linked.jpg"]) == b"bo/2.jpg"
    with pytest.raises(DecodeError, match=r"^cannot be read: symlink loop: "):
        source.read(entries["al/up"])


def test_folders_that_link_to_each_other_are_listed_once(tmp_path: Path) -> None:
    make_directory(tmp_path, "bo/1.jpg", *(f"al/{name}/{name}.jpg" for name in "abcdefgh"))
    for name in "abcdefgh":
        for other in "abcdefgh":
            (tmp_path / "al" / name / f"to_{other}").symlink_to(tmp_path / "al" / other)
    entries = open_source("folder", tmp_path).entries("al")
    assert sum(entry.refusal is None for entry in entries) == 8
    assert len(entries) == 8 + 64


def test_unreadable_files_have_a_reason(tmp_path: Path) -> None:
    make_directory(tmp_path, "al/1.jpg", "al/2.jpg")
    os.mkfifo(tmp_path / "al/pipe.jpg")
    with (tmp_path / "al/huge.jpg").open("wb") as file:
        file.truncate((256 << 20) + 1)
    source = open_source("folder", tmp_path)
    entries = {entry.image_id: entry for entry in source.entries("al")}
    assert entries["al/pipe.jpg"].refusal == "not a regular file"
    assert entries["al/huge.jpg"].refusal == "larger than 256 MiB"
    (tmp_path / "al/1.jpg").unlink()
    with pytest.raises(DecodeError, match=r"^cannot be read: No such file"):
        source.read(entries["al/1.jpg"])
    (tmp_path / "al/2.jpg").unlink()
    (tmp_path / "al/2.jpg").mkdir()
    with pytest.raises(DecodeError, match=r"^cannot be read: Is a directory"):
        source.read(entries["al/2.jpg"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permissions(tmp_path: Path) -> None:
    make_directory(tmp_path, "al/1.jpg", "bo/1.jpg")
    (tmp_path / "al/1.jpg").chmod(0)
    (tmp_path / "bo").chmod(0)
    source = open_source("folder", tmp_path)
    with pytest.raises(DecodeError, match=r"^cannot be read: Permission denied"):
        source.read(only(source, "al"))
    assert only(source, "bo").refusal == "folder cannot be listed: Permission denied"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that no user can read")
def test_a_file_that_fails_while_it_is_read(tmp_path: Path) -> None:
    make_directory(tmp_path, "al/1.jpg")
    source = open_source("folder", tmp_path)
    entry = only(source, "al")
    (tmp_path / "al/1.jpg").unlink()
    (tmp_path / "al/1.jpg").symlink_to("/proc/self/mem")
    with pytest.raises(DecodeError, match=r"^cannot be read: Input/output error"):
        source.read(entry)
