"""manifests/checksums.py, table_file.py: damage of any byte of a table is named; the files stay ordinary Parquet."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests import checksums
from manifests.errors import DatasetError
from manifests.schema import SCHEMA_VERSION
from manifests.table_file import TableFile
from manifests.writer import write_table

VERSION = {"swapset.schema_version": str(SCHEMA_VERSION)}
Damage = Callable[[bytes, np.random.Generator], bytes]


def _flip(data: bytes, random: np.random.Generator) -> bytes:
    at = int(random.integers(len(data)))
    return data[:at] + bytes([data[at] ^ (1 << int(random.integers(8)))]) + data[at + 1 :]


def _truncate(data: bytes, random: np.random.Generator) -> bytes:
    return data[: int(random.integers(len(data)))]


def _zero(data: bytes, random: np.random.Generator) -> bytes:
    at, size = int(random.integers(len(data))), int(random.integers(1, 600))
    return data[:at] + bytes(len(data[at : at + size])) + data[at + size :]


def _swap(data: bytes, random: np.random.Generator) -> bytes:
    a, b = sorted(random.choice(len(data) // 512, 2, replace=False) * 512)
    return data[:a] + data[b : b + 512] + data[a + 512 : b] + data[a : a + 512] + data[b + 512 :]


DAMAGES: dict[str, Damage] = {"flip": _flip, "truncate": _truncate, "zero": _zero, "swap": _swap}


@pytest.fixture
def table() -> pa.Table:
    random = np.random.default_rng(1)
    names = [f"photo {n}" for n in random.integers(0, 50, 9000)]
    columns = {"name": names, "value": random.normal(size=9000), "repeated": ["same"] * 9000}
    return pa.table(columns, pa.schema([("name", pa.string()), ("value", pa.float64()), ("repeated", pa.string())]))


@pytest.fixture
def path(tmp_path: Path, table: pa.Table) -> Path:
    write_table(
        tmp_path / "t.parquet", [table.slice(0, 1500), table.slice(1500)], table.schema, {"key": "text"} | VERSION
    )
    return tmp_path / "t.parquet"


@pytest.mark.parametrize("whole", [0, 1 << 20])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(
    path: Path, table: pa.Table, damage: str, whole: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "WHOLE", whole)
    assert TableFile(path).read().equals(table)
    random, copy, data = np.random.default_rng(7), tmp_path / "copy.parquet", path.read_bytes()
    for _ in range(150):
        damaged = DAMAGES[damage](data, random)
        copy.write_bytes(damaged)
        if damaged != data:  # not even a byte without effect on the rows is overlooked
            with pytest.raises(DatasetError, match=r"copy.parquet is damaged .*run `curate measure` again"):
                TableFile(copy).read()


def test_of_a_large_file_only_the_blocks_that_are_read_are_checked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "WHOLE", 0)
    data = path.read_bytes()
    assert len(data) > checksums.BLOCK
    chunk = pq.read_metadata(path).row_group(1).column(1)
    at = chunk.data_page_offset + chunk.total_compressed_size - 1
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    TableFile(path).read(["name"], 0)
    begin = at // checksums.BLOCK * checksums.BLOCK
    with pytest.raises(DatasetError, match=rf"is damaged \(bytes {begin} to \d+ differ from their checksum\)"):
        TableFile(path).read(["value"])
    with pytest.raises(DatasetError, match="is damaged"):
        TableFile(path).check()


def test_the_digest_follows_from_the_contents(path: Path, table: pa.Table, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    write_table(other, [table.slice(0, 1500), table.slice(1500)], table.schema, {"key": "text"} | VERSION)
    assert TableFile(other).digest == TableFile(path).digest
    write_table(other, [table.slice(0, 1500), table.slice(1500)], table.schema, {"key": "texts"} | VERSION)
    assert TableFile(other).digest != TableFile(path).digest
    changed = table.set_column(1, "value", pa.array(np.arange(9000.0)))
    write_table(other, [changed.slice(0, 1500), changed.slice(1500)], table.schema, {"key": "text"} | VERSION)
    assert TableFile(other).digest != TableFile(path).digest


def test_other_readers_read_the_file_and_its_page_checksums(path: Path, table: pa.Table) -> None:
    assert pd.read_parquet(path).equals(table.to_pandas())
    assert pq.read_table(path, page_checksum_verification=True).equals(table)
    data = bytearray(path.read_bytes())
    data[pq.read_metadata(path).row_group(0).column(1).data_page_offset + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(path, page_checksum_verification=True)


def test_a_file_that_another_program_wrote_is_refused(path: Path) -> None:
    rows = pq.read_table(path)
    pq.write_table(rows.replace_schema_metadata(VERSION), path)
    with pytest.raises(DatasetError, match="its footer has no checksum, as if another program had written it"):
        TableFile(path)
    pq.write_table(rows, path)  # with the checksums of the original
    with pytest.raises(DatasetError, match="is damaged"):
        TableFile(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied_is_no_damage(path: Path) -> None:
    path.chmod(0)
    with pytest.raises(DatasetError, match=r"cannot read .*t.parquet: permission denied: make it readable"):
        TableFile(path)


def test_a_folder_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "manifest.parquet").mkdir()
    with pytest.raises(DatasetError, match=r"cannot read .*manifest.parquet: it is a folder, not a file"):
        TableFile(tmp_path / "manifest.parquet")


def test_an_error_of_the_disk_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = TableFile(path)

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    for read in (opened.read, opened.check, lambda: TableFile(path)):
        with pytest.raises(DatasetError, match=r"t.parquet: the disk reports a read error: check the disk"):
            read()
