"""Fetching a pack from a local server that interrupts, refuses and ignores ranges; the files are placeholders."""

import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from curate.errors import ModelError
from curate.faces.packs import insightface as packs
from curate.faces.weights import REGISTRY, file_sha256
from tests.samples.listener import Recorder, Step

FILES = {"det_500m.onnx": b"detector" * 40_000, "w600k_mbf.onnx": b"embedder" * 50_000, "genderage.onnx": b"more"}


def archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Serves `body` at any path. `cut`: bytes after which the next response ends; `ranges`: support of Range."""

    body = archive(FILES)
    cut: int | None = None
    ranges = True
    ranges_requested: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        requested = self.headers.get("Range")
        self.server.ranges_requested.append(requested)
        body, start = self.server.body, 0
        if requested and self.server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", requested)[1])  # type: ignore[index]
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : None if self.server.cut is None else start + self.server.cut])
        self.server.cut = None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.ranges_requested = []
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}/buffalo_s.zip"


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SWAPSET_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_fetch_unpacks_every_model_and_leaves_no_other_file(url: str, models: Path) -> None:
    recorder = Recorder()
    assert not packs.is_present("buffalo_s")
    assert packs.fetch("buffalo_s", recorder, url) == models / "buffalo_s"
    assert packs.is_present("buffalo_s")
    assert {path.name: path.read_bytes() for path in (models / "buffalo_s").iterdir()} == FILES
    assert sorted(path.name for path in models.iterdir()) == ["buffalo_s", packs.PINS]
    size = len(Server.body)
    assert recorder.steps == [Step("downloading buffalo_s.zip", size, "B", done=size, finished=True)]


def test_fetch_continues_an_interrupted_download(server: Server, url: str, models: Path) -> None:
    server.cut = 300_000
    with pytest.raises(ModelError, match=r"interrupted after 300,000 of [\d,]+ bytes; fetch again to continue"):
        packs.fetch("buffalo_s", url=url)
    assert not packs.is_present("buffalo_s")
    packs.fetch("buffalo_s", url=url)
    assert server.ranges_requested == [None, "bytes=300000-"]
    assert (models / "buffalo_s" / "w600k_mbf.onnx").read_bytes() == FILES["w600k_mbf.onnx"]


def test_a_complete_part_is_not_downloaded_again(server: Server, url: str, models: Path) -> None:
    models.mkdir()
    (models / "buffalo_s.zip.part").write_bytes(server.body)
    packs.fetch("buffalo_s", url=url)
    assert server.ranges_requested == [f"bytes={len(server.body)}-"]


def test_a_server_without_ranges_sends_the_whole_file(server: Server, url: str, models: Path) -> None:
    server.ranges = False
    models.mkdir()
    (models / "buffalo_s.zip.part").write_bytes(b"part of another file")
    packs.fetch("buffalo_s", url=url)
    assert packs.is_present("buffalo_s")


def test_a_complete_pack_is_not_downloaded_again(server: Server, url: str) -> None:
    packs.fetch("buffalo_s", url=url)
    packs.fetch("buffalo_s", url=url)
    assert len(server.ranges_requested) == 1


def test_without_a_network_the_error_names_file_and_folder_in_one_line(models: Path) -> None:
    with pytest.raises(ModelError) as error:
        packs.fetch("buffalo_s", url="http://127.0.0.1:9/buffalo_s.zip")
    message = str(error.value)
    assert "\n" not in message
    assert f"copy buffalo_s.zip ({packs.PACKS['buffalo_s'].url}) to {models} and fetch again" in message
    assert "refused" in message


def test_a_zip_in_the_model_folder_is_unpacked_and_kept(models: Path) -> None:
    models.mkdir()
    # Some tools pack the files inside a folder.
    (models / "buffalo_s.zip").write_bytes(archive({f"buffalo_s/{name}": body for name, body in FILES.items()}))
    packs.fetch("buffalo_s", url="http://127.0.0.1:9/")
    assert packs.is_present("buffalo_s")
    assert (models / "buffalo_s.zip").is_file()


@pytest.mark.parametrize("member", ["../escaped.onnx", "/escaped.onnx", "a/../../escaped.onnx", "..\\escaped.onnx"])
def test_a_zip_with_a_member_outside_the_folder_is_refused(server: Server, url: str, models: Path, member: str) -> None:
    server.body = archive({**FILES, member: b"!"})
    with pytest.raises(ModelError, match=re.escape("leaves the folder")):
        packs.fetch("buffalo_s", url=url)
    assert not packs.is_present("buffalo_s")
    assert not list(models.parent.rglob("*escaped*"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>not found</html>", "not a complete zip file"),
        (archive({"det_500m.onnx": b"x"}), "contains no w600k_mbf.onnx; it is not the pack buffalo_s"),
        (archive(FILES).replace(b"embedder", b"Embedder", 1), "not a complete zip file (Bad CRC-32"),
    ],
)
def test_another_file_is_refused(server: Server, url: str, body: bytes, message: str) -> None:
    server.body = body
    with pytest.raises(ModelError, match=re.escape(message)):
        packs.fetch("buffalo_s", url=url)
    assert not packs.is_present("buffalo_s")
    server.body = archive(FILES)
    packs.fetch("buffalo_s", url=url)  # no remainder of the refused file


def test_an_incomplete_folder_is_not_a_pack(url: str, models: Path) -> None:
    with pytest.raises(ModelError, match="does not exist; run `curate models fetch buffalo_s`"):
        packs.locate("buffalo_s")
    (models / "buffalo_s").mkdir(parents=True)
    (models / "buffalo_s" / "det_500m.onnx").write_bytes(FILES["det_500m.onnx"])
    assert not packs.is_present("buffalo_s")
    with pytest.raises(ModelError, match=r"buffalo_s is incomplete: without w600k_mbf\.onnx; run"):
        packs.locate("buffalo_s")
    packs.fetch("buffalo_s", url=url)
    assert packs.is_present("buffalo_s")


def test_the_hash_of_a_file_is_recorded_on_first_use_and_checked_afterwards(models: Path) -> None:
    folder = models / "buffalo_s"
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    files = packs.locate("buffalo_s")
    first = file_sha256(files[1])
    assert json.loads((models / packs.PINS).read_text())["buffalo_s/w600k_mbf.onnx"] == first
    packs.locate("buffalo_s")
    files[1].write_bytes(b"another network")
    with pytest.raises(ModelError) as error:
        packs.locate("buffalo_s")
    assert first in str(error.value)
    assert file_sha256(files[1]) in str(error.value)
    assert json.loads((models / packs.PINS).read_text())["buffalo_s/w600k_mbf.onnx"] == first


def test_an_unknown_pack_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="unknown pack 'buffalo_xl'; one of buffalo_l, buffalo_s"):
        packs.fetch("buffalo_xl")


@pytest.mark.parametrize("pack", packs.PACKS.values(), ids=packs.PACKS)
def test_the_weights_table_holds_both_files_of_each_pack(pack: packs.Pack) -> None:
    for weights in (pack.detector, pack.embedder):
        assert REGISTRY[weights.name] is weights
        assert weights.url == pack.url
        assert "non-commercial" in weights.licence
        assert weights.mean == (127.5,) * 3
    assert (pack.detector.std, pack.embedder.std) == ((128.0,) * 3, (127.5,) * 3)
