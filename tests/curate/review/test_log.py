"""The log of decisions: nothing acknowledged is lost, and overrides.csv follows it and the hand."""

from pathlib import Path

import pytest

from curate.errors import DatasetError, PolicyError
from curate.review.log import BY_HAND, DecisionLog, Entry

HEADER = "image_id,verdict,note,identity,other\n"


def drop(log: DecisionLog, photo: str, by: str = "tab") -> None:
    log.add("drop", log.document.edit([log.document.new_line(image_id=photo, verdict="drop")]), by, 1)


def lines(folder: Path) -> list[str]:
    return (folder / "overrides.csv").read_text().splitlines()[1:]


def test_decisions_survive_without_overrides_csv(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    drop(log, "a.jpg")
    drop(log, "b.jpg")  # and the process is killed: the log is neither closed nor overrides.csv written
    assert lines(tmp_path) == []
    again = DecisionLog(tmp_path)
    assert lines(tmp_path) == ["a.jpg,drop,,,", "b.jpg,drop,,,"]
    assert [entry.number for entry in again.entries] == [1, 2]


def test_a_line_that_was_cut_off_was_never_acknowledged(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    drop(log, "a.jpg")
    drop(log, "b.jpg")
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-5])
    assert [entry.photos for entry in DecisionLog(tmp_path).entries] == [1]
    assert lines(tmp_path) == ["a.jpg,drop,,,"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    drop(log, "a.jpg")
    log.close()
    log.path.write_bytes(log.path.read_bytes().replace(b'"action":"drop"', b'"action":7', 1))
    with pytest.raises(DatasetError, match=r"decisions.jsonl, line 3: damaged \(action is 7, expected text\); restore"):
        DecisionLog(tmp_path)


@pytest.mark.parametrize("while_open", [True, False])
def test_what_is_edited_by_hand_is_kept(tmp_path: Path, while_open: bool) -> None:
    log = DecisionLog(tmp_path)
    drop(log, "a.jpg")
    drop(log, "b.jpg")
    log.write_overrides()
    file = tmp_path / "overrides.csv"
    file.write_text(HEADER + "\nb.jpg,keep,it is sharp,,\n")
    if while_open:
        drop(log, "c.jpg")
        log.write_overrides()
    else:
        log = DecisionLog(tmp_path)
        drop(log, "c.jpg")
        log.write_overrides()
    assert file.read_text() == HEADER + "\nb.jpg,keep,it is sharp,,\nc.jpg,drop,,,\n"
    assert [entry.action for entry in log.entries].count(BY_HAND) == 1
    assert DecisionLog(tmp_path).document.text() == file.read_text()


def test_a_faulty_file_is_left_alone_and_decisions_go_on(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    file = tmp_path / "overrides.csv"
    file.write_text(HEADER + "b.jpg,kep,,,\n")
    drop(log, "a.jpg")
    with pytest.raises(PolicyError, match=r"line 2: unknown verdict 'kep'"):
        log.write_overrides()
    assert lines(tmp_path) == ["b.jpg,kep,,,"]
    file.write_text(HEADER + "b.jpg,keep,,,\n")
    log.write_overrides()
    assert lines(tmp_path) == ["b.jpg,keep,,,", "a.jpg,drop,,,"]


def test_a_window_undoes_its_own_actions(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    drop(log, "a.jpg", by="first")
    drop(log, "b.jpg", by="second")
    last = log.last("first")
    assert last is not None
    log.take_back(last, log.document.inverse(last.edit))
    log.write_overrides()
    assert lines(tmp_path) == ["b.jpg,drop,,,"]
    assert log.last("first") is None


def test_what_is_undone_is_redone_until_the_window_acts_again(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)

    def take_back(found: Entry | None) -> None:
        assert found is not None
        log.take_back(found, log.document.inverse(found.edit))

    drop(log, "a.jpg")
    drop(log, "b.jpg")
    assert log.last_undo("tab") is None
    take_back(log.last("tab"))
    take_back(log.last("tab"))
    drop(log, "x.jpg", by="another")
    assert log.last_undo("another") is None
    take_back(log.last_undo("tab"))
    take_back(log.last_undo("tab"))
    assert log.last_undo("tab") is None
    take_back(log.last("tab"))  # b.jpg again
    log = DecisionLog(tmp_path)
    assert lines(tmp_path) == ["a.jpg,drop,,,", "x.jpg,drop,,,"]
    drop(log, "c.jpg")
    assert log.last_undo("tab") is None


@pytest.mark.parametrize("noted", [True, False])
def test_decisions_that_are_made_while_the_file_is_written_survive_a_kill(tmp_path: Path, noted: bool) -> None:
    log = DecisionLog(tmp_path)
    drop(log, "a.jpg")
    latest = log.latest()
    assert latest is not None
    drop(log, "b.jpg")
    log.write_file(latest)
    if noted:
        log.note_written(latest)
    assert lines(tmp_path) == ["a.jpg,drop,,,"]
    DecisionLog(tmp_path)
    assert lines(tmp_path) == ["a.jpg,drop,,,", "b.jpg,drop,,,"]


def test_a_kill_after_a_change_by_hand_was_taken_over_loses_no_decision(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    drop(log, "a.jpg")
    log.write_overrides()
    drop(log, "b.jpg")
    (tmp_path / "overrides.csv").write_text(HEADER + "c.jpg,keep,,,\n")
    log.read_by_hand()
    DecisionLog(tmp_path)
    assert lines(tmp_path) == ["c.jpg,keep,,,", "b.jpg,drop,,,"]
