"""curate/lineage.py: tables that are out of date are refused with the command that renews them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from curate import cleaning, decide, export, measure, merge, relate, report
from curate.inspect import summarise
from curate.lineage import require_current
from curate.measure.request import MeasureRequest
from manifests.errors import DatasetError
from manifests.reader import Dataset
from manifests.table_file import TableFile
from manifests.writer import write_table
from tests.conftest import Cleaned
from tests.samples.listener import Recorder
from train.data.faces import read_training_faces


@pytest.fixture
def out(cleaned: Cleaned, tmp_path: Path) -> Path:
    """A copy, which a test may change."""
    return shutil.copytree(cleaned.out, tmp_path / "set")


def _request(cleaned: Cleaned, out: Path, *, verify: bool = False) -> MeasureRequest:
    return MeasureRequest(layout="vggface2", root=cleaned.photos, out=out, models="builtin", verify=verify)


def _change_measures(out: Path) -> None:
    """Rewrite a shard of the measures with other numbers, as measuring again does."""
    path = next((out / "measures").iterdir())
    table = TableFile(path)
    rows = table.read()
    index = rows.schema.get_field_index("own_similarity" if "own_similarity" in rows.column_names else "brightness")
    changed = rows.set_column(index, rows.schema.field(index), rows[index].combine_chunks().fill_null(0.0)[::-1])
    write_table(path, changed, rows.schema, table.metadata)


USES: dict[str, Callable[[Path], object]] = {
    "report": report.run,
    "export": lambda out: export.plan(export.ExportRequest(out, out.parent / "exported")),
    "train": lambda out: read_training_faces(Dataset.open(out), "simswap-224"),
    "merge": lambda out: merge.plan(merge.MergeRequest((out, out), out.parent / "merged")),
}


@pytest.mark.parametrize("use", USES)
def test_a_manifest_older_than_the_overrides_is_refused(out: Path, use: str) -> None:
    photo = Dataset.open(out).manifest(["image_id"])["image_id"][0].as_py()
    (out / "overrides.csv").write_text(f"image_id,verdict,note\n{photo},drop,\n")
    with pytest.raises(DatasetError, match=r"overrides.csv was changed after .*run `curate decide .*set` with"):
        USES[use](out)
    decide.run(decide.DecideRequest(out))
    (out / "overrides.csv").write_text(f"image_id,verdict,note\n{photo},drop,another note\n")
    if use != "merge":  # which then refuses two datasets of one name
        USES[use](out)


@pytest.mark.parametrize("use", USES)
def test_a_manifest_older_than_the_relations_is_refused(out: Path, use: str) -> None:
    relations = TableFile(out / "relations.parquet")
    groups = [relations.read(group=group) for group in range(relations.row_groups)]
    write_table(out / "relations.parquet", groups, groups[0].schema, relations.metadata | {"swapset.note": "other"})
    with pytest.raises(DatasetError, match=r"manifest.parquet was decided from other relations: run `curate decide"):
        USES[use](out)


def test_embeddings_and_relations_of_other_measures_are_refused(out: Path) -> None:
    _change_measures(out)
    for use in (lambda: relate.run(relate.RelateRequest(out)), lambda: report.run(out)):
        with pytest.raises(DatasetError, match=r"made from other measures: run `curate clean vggface2 --root"):
            use()


def test_a_shard_that_was_replaced_in_part_is_refused_and_named_by_inspect(out: Path) -> None:
    assert not any("out of date" in line for line in summarise(Dataset.open(out)).lines())
    shard = next((out / "faces").iterdir())  # a kill after the faces, before the measures of a shard
    table = TableFile(shard)
    write_table(shard, table.read(), table.read().schema, table.metadata | {"swapset.note": "other"})
    with pytest.raises(DatasetError, match=r"was made from other faces: run `curate clean vggface2 --root"):
        USES["train"](out)
    lines = summarise(Dataset.open(out)).lines()
    assert any(line.startswith("  out of date: ") and "was made from other faces" in line for line in lines)


def test_clean_brings_everything_up_to_date(cleaned: Cleaned, out: Path) -> None:
    _change_measures(out)
    cleaning.clean(_request(cleaned, out))
    require_current(Dataset.open(out))


def test_relations_of_other_embeddings_are_refused(out: Path) -> None:
    shard = next((out / "embeddings").glob("*/*.parquet"))
    table = TableFile(shard)
    write_table(shard, table.read(), table.read().schema, table.metadata | {"swapset.note": "other"})
    with pytest.raises(DatasetError, match=r"relations.parquet was computed from other measures or embeddings"):
        decide.run(decide.DecideRequest(out))
    relate.run(relate.RelateRequest(out))
    decide.run(decide.DecideRequest(out))


def test_a_copy_of_manifest_and_crops_alone_can_be_used(out: Path) -> None:
    for name in ("measures", "embeddings"):
        shutil.rmtree(out / name)
    (out / "relations.parquet").unlink()
    (out / "overrides.csv").unlink()
    assert len(read_training_faces(Dataset.open(out), "simswap-224"))


def test_a_merged_dataset_is_older_than_a_part_decided_again(out: Path) -> None:
    other = shutil.copytree(out, out.parent / "other")
    merged = out.parent / "merged"
    merge.run(merge.plan(merge.MergeRequest((out, other), merged)))
    assert len(read_training_faces(Dataset.open(merged), "simswap-224"))
    decide.run(decide.DecideRequest(other, decide.load_policy("keep-all")))
    with pytest.raises(DatasetError, match=r"other was decided again after .*merged.*: run `curate merge`"):
        read_training_faces(Dataset.open(merged), "simswap-224")


@pytest.mark.parametrize(("whole", "position"), [(False, -100), (True, 50)])
def test_a_damaged_shard_is_measured_again(cleaned: Cleaned, out: Path, whole: bool, position: int) -> None:
    before = {path: path.read_bytes() for path in sorted(out.rglob("*.parquet"))}
    for family in ("faces", "measures"):
        path = next((out / family).iterdir())
        data = bytearray(path.read_bytes())
        data[position] ^= 1
        path.write_bytes(data)
    listener = Recorder()
    measure.run(measure.plan(_request(cleaned, out, verify=whole), listener))
    assert any("is damaged" in note and "are measured again" in note for note in listener.notes)
    assert {path: path.read_bytes() for path in sorted(out.rglob("*.parquet"))} == before
