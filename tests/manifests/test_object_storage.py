"""Datasets and photos in an object store: read by ranges, written whole, repeated within limits when it fails."""

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.errors import DecodeError, SourceError
from curate.sources import decode_name, open_source
from manifests import object_storage
from manifests.errors import DatasetError, OutputError
from manifests.locations import ObjectPath, as_path
from manifests.object_storage import MAX_ATTEMPTS, put
from manifests.output import OutputLock, atomic, atomic_folder
from manifests.partials import has_partial, remove_partials
from manifests.reader import Dataset, read_table
from manifests.schema import arrow_schema
from manifests.writer import write_table
from tests.samples.dataset import write_dataset
from tests.samples.object_store import FaultyServer, object_store
from tests.samples.sources import COLLECTIONS, listed, make_directory

pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with object_store() as server:
        yield server


@pytest.fixture
def store(server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectPath:
    """An empty prefix of the store, which answers every request."""
    monkeypatch.setattr(object_storage, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(server, "fault", lambda method, path: None)
    server.requests.clear()
    server.faults = 0
    path = as_path(f"s3://bucket/{tmp_path.name}")
    assert isinstance(path, ObjectPath)
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A small dataset on this machine."""
    write_dataset(tmp_path / "curated", {"anna": 3, "bert": 4})
    return tmp_path / "curated"


def upload(folder: Path, target: Path) -> None:
    """Put all files below a folder."""
    for path in folder.rglob("*"):
        if path.is_file():
            place = target / path.relative_to(folder)
            assert isinstance(place, ObjectPath)
            put(path, place)


@pytest.mark.parametrize("text", ["s3://bucket/a/b.txt", "gs://bucket/a/b.txt", "az://bucket/a/b.txt"])
def test_a_url_is_a_path(text: str) -> None:
    path = as_path(text)
    assert (str(path), os.fspath(path), path.name, str(path.parent / "c")) == (text, text, "b.txt", f"{text[:-5]}c")
    assert as_path(Path(text)) == as_path(str(path)) == pickle.loads(pickle.dumps(path)) == path.resolve() == path
    assert str(pickle.loads(pickle.dumps(path))) == text


def test_other_locations_are_paths_of_this_machine() -> None:
    assert as_path("file:///data/my%20photos") == Path("/data/my photos")
    for text in ("photos", "/data/photos", "C3:/photos", "s3:"):
        assert type(as_path(text)) is type(Path(text))


def test_objects_are_read_as_files_are(store: ObjectPath, tmp_path: Path) -> None:
    folder = make_directory(tmp_path / "files", "a/1.txt", "a/b/2.txt", "3.txt")
    (folder / "empty").touch()
    upload(folder, store)
    for path in (folder, store):
        assert sorted(str(found.relative_to(path)) for found in path.rglob("*.txt")) == [
            "3.txt",
            "a/1.txt",
            "a/b/2.txt",
        ]
        assert sorted(found.name for found in path.iterdir()) == ["3.txt", "a", "empty"]
        assert [found.name for found in path.glob("*/1.txt")] == ["1.txt"]
        assert ((path / "a").is_dir(), (path / "a").is_file(), (path / "b").exists()) == (True, False, False)
        assert (path / "a/1.txt").read_bytes() == b"a/1.txt"
        assert (path / "a/1.txt").open().read() == "a/1.txt"
        assert ((path / "empty").read_bytes(), (path / "3.txt").stat().st_size) == (b"", 5)
        with pytest.raises(FileNotFoundError):
            (path / "none").read_bytes()
        (path / "3.txt").unlink()
        assert not (path / "3.txt").exists()
    with pytest.raises(TypeError, match=r"write it as a whole, with manifests\.output\.atomic"):
        (store / "a/1.txt").write_text("x")


def test_a_file_is_put_whole_or_not_at_all(store: ObjectPath) -> None:
    with atomic(store / "a.txt") as partial:
        partial.write_text("first")
        assert not (store / "a.txt").exists()
    with pytest.raises(UnicodeEncodeError), atomic(store / "a.txt") as partial:
        partial.write_text("second \udcff")
    assert (store / "a.txt").read_text() == "first"
    assert not partial.parent.exists()
    with atomic_folder(store / "page") as folder:
        make_directory(folder, "index.html", "pictures/1.jpg")
    with atomic_folder(store / "page") as folder:
        make_directory(folder, "index.html", "pictures/2.jpg")
    assert sorted(path.name for path in (store / "page").rglob("*")) == ["2.jpg", "index.html"]
    with OutputLock(store), OutputLock(store):  # no locks
        assert (remove_partials(store), has_partial(store / "a.txt")) == (0, False)


@pytest.mark.parametrize("fault", [500, 503, "short"])
def test_requests_that_fail_are_repeated(store: ObjectPath, server: FaultyServer, fault: int | str) -> None:
    content = os.urandom(100_000)
    served = dict[tuple[str, str], int]()

    def twice(method: str, path: str) -> int | str | None:
        served[method, path] = served.get((method, path), 0) + 1
        return fault if served[method, path] <= 2 and (fault != "short" or method == "GET") else None

    server.fault = twice
    with atomic(store / "a.bin") as partial:
        partial.write_bytes(content)
    assert (store / "a.bin").read_bytes() == content
    assert server.faults >= 2


def test_a_store_that_does_not_recover(store: ObjectPath, server: FaultyServer, tmp_path: Path) -> None:
    upload(make_directory(tmp_path / "photos", "anna/1.jpg"), store)
    source = open_source("folder", store)
    (entry,) = source.entries("anna")
    server.fault = lambda method, path: 503
    before = len(server.requests)
    with pytest.raises(DecodeError, match=rf"cannot be read: gave up after {MAX_ATTEMPTS} attempts \(.*") as caught:
        source.read(entry)
    assert "\n" not in str(caught.value)
    assert len(server.requests) - before == MAX_ATTEMPTS
    with (
        pytest.raises(OutputError, match=rf"cannot write {store}/a.txt: gave up after {MAX_ATTEMPTS} attempts"),
        atomic(store / "a.txt") as partial,
    ):
        partial.write_text("x")
    with pytest.raises(SourceError, match=r"cannot be opened \(gave up after"):
        open_source("folder", store)
    with pytest.raises(DatasetError, match=rf"cannot read {store}/manifest.parquet: gave up after"):
        read_table(store / "manifest.parquet")
    server.fault = lambda method, path: None
    assert not (store / "a.txt").exists()


def test_a_server_that_stores_something_else(store: ObjectPath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_storage, "describe", lambda path: object_storage.ObjectInfo("a.txt", 7, 0, False))
    with (
        pytest.raises(OutputError, match=r"7 bytes are stored of 1: .* set AWS_REQUEST_CHECKSUM_CALCULATION"),
        atomic(store / "a.txt") as partial,
    ):
        partial.write_text("x")


def test_refused_credentials_are_not_repeated(store: ObjectPath, server: FaultyServer) -> None:
    server.fault = lambda method, path: 403
    with pytest.raises(OSError, match=r"refused \(.*ACCESS_DENIED.*check the credentials"):
        (store / "a.txt").read_bytes()
    assert len(server.requests) == 1


def test_photos_are_listed_and_read(store: ObjectPath, tmp_path: Path) -> None:
    names = ("anna/1.jpg", "anna/more/2.png", "bert/1.jpg", "bert/.hidden.jpg", "bert/@eaDir/1.jpg", "bert/notes.txt")
    folder = make_directory(tmp_path / "photos", *names)
    upload(folder, store)
    source, local = open_source("folder", store), open_source("folder", folder)
    assert listed(source) == listed(local)
    assert source.read(source.entries("anna")[1]) == b"anna/more/2.png"
    assert source.ignored() == {".txt": 1, "in @eaDir": 1, "hidden (name begins with a dot)": 1}
    for entry, same in zip(source.entries("bert"), local.entries("bert"), strict=True):
        assert (entry.size, entry.location) == (same.size, same.location)
    (store / "anna/1.jpg").unlink()
    with pytest.raises(DecodeError, match="cannot be read: it does not exist"):
        source.read(local.entries("anna")[0])


@pytest.mark.parametrize("layout", COLLECTIONS)
def test_a_collection_is_the_same_as_in_a_directory(store: ObjectPath, tmp_path: Path, layout: str) -> None:
    names = [decode_name(image_id).decode(errors="replace") for ids in COLLECTIONS[layout].values() for image_id in ids]
    folder = make_directory(tmp_path / "photos", *names)  # keys of objects are UTF-8
    upload(folder, store)
    source, local = open_source(layout, store), open_source(layout, folder)
    assert listed(source) == listed(local)
    for identity in local.identities():
        for entry, same in zip(source.entries(identity), local.entries(identity), strict=True):
            assert source.read(entry) == local.read(same)


def test_what_is_no_collection(store: ObjectPath, tmp_path: Path) -> None:
    upload(make_directory(tmp_path / "files", "photos.tar", "texts/1.txt"), store)
    with pytest.raises(SourceError, match="is one object: archives are read from a file system only"):
        open_source("folder", store / "photos.tar")
    with pytest.raises(SourceError, match=r"cannot be opened \(No such object\)"):
        open_source("folder", store / "none")
    with pytest.raises(SourceError, match="no photo in"):
        open_source("folder", store / "texts")


def test_a_dataset_is_read_by_ranges(store: ObjectPath, server: FaultyServer, dataset: Path) -> None:
    local = Dataset.open(dataset)
    upload(local.path, store)
    remote = Dataset.open(str(store))
    rows = local.manifest(keep=True)
    assert remote.manifest(keep=True).equals(rows)
    assert remote.measures(0).equals(local.measures(0))
    assert remote.embedder_ids() == local.embedder_ids()
    server.requests.clear()
    row = rows.filter(rows["shard"].is_valid()).to_pylist()[0]
    assert remote.pixels.crop(row) == local.pixels.crop(row)
    assert remote.pixels.mask(row) == local.pixels.mask(row)
    gets = [path for method, path in server.requests if method == "GET"]
    assert [path for path in gets if path.endswith(row["shard"])] == [f"/{store.key}/{row['shard']}"] * 2
    assert (remote.embeddings_for(rows.slice(0, 1)) == local.embeddings_for(rows.slice(0, 1))).all()


def test_pandas_reads_a_manifest(store: ObjectPath, dataset: Path) -> None:
    pd = pytest.importorskip("pandas")
    upload(dataset, store)
    assert len(pd.read_parquet(f"{store}/manifest.parquet")) == Dataset.open(store).manifest().num_rows


def test_the_same_rows_have_the_same_bytes(store: ObjectPath, tmp_path: Path) -> None:
    schema = arrow_schema("relations")
    for root in (tmp_path, store):
        write_table(root / "relations.parquet", schema.empty_table(), schema)
    assert (tmp_path / "relations.parquet").read_bytes() == (store / "relations.parquet").read_bytes()


def test_a_damaged_object_is_named(store: ObjectPath, dataset: Path) -> None:
    data = bytearray((dataset / "manifest.parquet").read_bytes())
    data[-20] ^= 1
    (dataset / "manifest.parquet").write_bytes(data)
    upload(dataset, store)
    with pytest.raises(DatasetError, match=rf"{store}/manifest.parquet is damaged"):
        Dataset.open(store).manifest()
