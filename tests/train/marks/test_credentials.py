"""Content credentials: signatures, ingredients, certificates."""

import io
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import av
import c2pa  # type: ignore[import-untyped]
import numpy as np
import pytest
from PIL import Image

from manifests.errors import OutputError
from tests.samples.marks import FORMATS, MARK_ID, Pixels, decoded, encoded
from train.errors import MarkError
from train.marks.credentials import certificates, signature
from train.marks.credentials.signature import Claim, check, check_file, sign, sign_file
from train.marks.mark import Provenance
from train.marks.metadata.xmp import SOURCE_TYPE


@pytest.mark.parametrize("name", FORMATS)
def test_credentials_are_valid_until_the_file_changes(name: str, photo: Pixels) -> None:
    signed = sign(encoded(photo, name), certificates.load_own(), Claim(MARK_ID, "both"))
    credentials = check(signed)
    assert (credentials.state, credentials.issuer) == ("trusted", "Swapset")
    assert np.array_equal(decoded(signed), decoded(encoded(photo, name)))
    changed = bytearray(signed)
    changed[len(changed) // 2] ^= 1
    assert check(bytes(changed)).state == "invalid"
    assert check(encoded(decoded(signed), name)).state == "absent"


def test_the_manifest_records_the_edit_and_its_sources(photo: Pixels, tmp_path: Path) -> None:
    target, source, bitmap = tmp_path / "target.jpg", tmp_path / "source.png", tmp_path / "other.bmp"
    codestream = tmp_path / "other.jxl"
    target.write_bytes(encoded(photo, "JPEG"))
    source.write_bytes(encoded(photo[:, ::-1], "PNG"))
    bitmap.write_bytes(b"BM a format without credentials")
    codestream.write_bytes(b"\xff\x0a JPEG XL without a container")
    provenance = Provenance(target, (source, bitmap, codestream))
    signed = sign(encoded(photo, "PNG"), certificates.load_own(), Claim(MARK_ID, "both", provenance))
    with c2pa.Reader(None, io.BytesIO(signed)) as reader:
        store = json.loads(reader.json())
    active = store["manifests"][store["active_manifest"]]
    relations = {ingredient["title"]: ingredient["relationship"] for ingredient in active["ingredients"]}
    components = dict.fromkeys(["source.png", "other.bmp", "other.jxl"], "componentOf")
    assert relations == {"target.jpg": "parentOf", **components}
    (assertion,) = (item for item in active["assertions"] if item["label"].startswith("c2pa.actions"))
    assert any(action.get("digitalSourceType") == SOURCE_TYPE for action in assertion["data"]["actions"])


def test_a_source_that_cannot_be_read_is_an_error(photo: Pixels, tmp_path: Path) -> None:
    with pytest.raises(MarkError, match=r"gone\.jpg: No such file or directory; content credentials must record"):
        sign(encoded(photo, "PNG"), certificates.load_own(), Claim(1, "both", Provenance(tmp_path / "gone.jpg")))


def test_another_machine_does_not_trust_the_certificate(
    photo: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = sign(encoded(photo, "JPEG"), certificates.load_own(), Claim(1, "both"))
    monkeypatch.setenv("SWAPSET_HOME", str(tmp_path / "another machine"))
    credentials = check(signed)
    assert credentials.state == "valid"
    assert credentials.problems == ("signingCredential.untrusted",)
    assert not (tmp_path / "another machine").exists()


def test_the_private_key_is_readable_by_its_user_only(swapset_home: Path) -> None:
    certificates.load_own()
    assert (swapset_home / "credentials/key.pem").stat().st_mode & 0o777 == 0o600


def test_a_certificate_of_the_user_signs(photo: Pixels, swapset_home: Path) -> None:
    certificates.load_own()
    folder = swapset_home / "credentials"
    signer = certificates.load(folder / "certificate.pem", folder / "key.pem")
    assert check(sign(encoded(photo, "PNG"), signer, Claim(MARK_ID, "both"))).state == "trusted"


def test_invalid_certificates_and_keys_are_errors(tmp_path: Path) -> None:
    certificates.create(tmp_path / "a")
    certificates.create(tmp_path / "b")
    chain, key, other_key = tmp_path / "a/certificate.pem", tmp_path / "a/key.pem", tmp_path / "b/key.pem"
    text = tmp_path / "text.pem"
    text.write_text("no PEM")
    for certificate, private, message in [
        (tmp_path / "none.pem", key, "none.pem: No such file or directory; give a PEM file"),
        (text, key, "text.pem: contains no PEM certificate"),
        (chain, text, "text.pem: contains no PEM private key"),
        (chain, other_key, "is not the private key of"),
    ]:
        with pytest.raises(MarkError, match=message):
            certificates.load(certificate, private)


def test_a_home_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("SWAPSET_HOME", str(file))
    with pytest.raises(OutputError, match="credentials"):
        certificates.load_own()


class Stop(Exception):
    """Raised by a signal."""


def test_a_signal_never_makes_credentials_invalid(photo: Pixels) -> None:
    data = sign(encoded(photo, "JPEG"), certificates.load_own(), Claim(MARK_ID, "both"))

    def stop(*_: object) -> None:
        raise Stop

    previous = signal.signal(signal.SIGALRM, stop)
    stopped = 0
    try:
        for delay in np.linspace(0.0005, 0.03, 40):
            try:
                signal.setitimer(signal.ITIMER_REAL, float(delay))
                state = check(data).state
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Stop:
                stopped += 1
            else:
                assert state == "trusted"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert stopped


# ---- containers ------------------------------------------------------------------------------------------------------


def write_video(path: Path, photo: Pixels) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = photo.shape[1], photo.shape[0], "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(photo, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def file(request: pytest.FixtureRequest, photo: Pixels, tmp_path: Path) -> Path:
    path = tmp_path / f"file.{request.param}"
    if request.param in ("mp4", "mov", "avi"):
        write_video(path, photo)
    else:
        if request.param == "heic":
            pytest.importorskip("pillow_heif").register_heif_opener()
        Image.fromarray(photo).save(path)
    return path


@pytest.mark.parametrize("file", ["gif", "tiff", "avif", "heic", "mp4", "mov", "avi"], indirect=True)
def test_every_container_is_signed_and_recorded_as_a_parent(file: Path, photo: Pixels, tmp_path: Path) -> None:
    signer = certificates.load_own()
    sign_file(file, signer, Claim(MARK_ID, "both"))
    assert check_file(file).state == "trusted"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    # The credentials of the parent are part of those of the result.
    result = sign(encoded(photo, "PNG"), signer, Claim(2, "both", Provenance(file)))
    assert check(result).state == "trusted"
    with c2pa.Reader("image/png", io.BytesIO(result)) as reader:
        store = json.loads(reader.json())
    assert len(store["manifests"]) == 2
    changed = bytearray(file.read_bytes())
    changed[len(changed) * 3 // 4] ^= 1
    file.write_bytes(changed)
    assert check_file(file).state == "invalid"


def test_a_file_that_cannot_carry_credentials_is_an_error_and_left_unchanged(photo: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    write_video(path, photo)
    before = path.read_bytes()
    with pytest.raises(MarkError, match="cannot carry content credentials: write JPEG, PNG, WebP, MP4, MOV or AVI"):
        sign_file(path, certificates.load_own(), Claim(1, "both"))
    assert path.read_bytes() == before
    assert check_file(path).state == "absent"


def test_a_full_disk_is_an_error_of_the_system(photo: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(photo, "JPEG"))
    before = path.read_bytes()
    full = Path("/dev/full").open("r+b")  # noqa: SIM115 (sign_file closes it)
    monkeypatch.setattr(signature.tempfile, "TemporaryFile", lambda dir: full)
    with pytest.raises(OSError, match="No space left on device"):
        sign_file(path, certificates.load_own(), Claim(1, "both"))
    assert path.read_bytes() == before


def test_a_time_stamp_authority_that_does_not_answer_is_an_error(photo: Pixels) -> None:
    claim = Claim(1, "both", tsa="http://127.0.0.1:9/")
    with pytest.raises(MarkError, match=r"with a time stamp of http://127\.0\.0\.1:9/: is it reachable\?"):
        sign(encoded(photo, "JPEG"), certificates.load_own(), claim)


TSA_CONFIGURATION = """
[tsa]
default_tsa = authority
[authority]
serial = serial
default_policy = 1.2.3.4.1
signer_digest = sha256
digests = sha256, sha384, sha512
accuracy = secs:1
"""


@pytest.fixture
def time_stamp_authority(tmp_path: Path) -> Iterator[str]:
    """URL of an RFC 3161 server on the loopback that answers by `openssl ts`."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    (tmp_path / "tsa.cnf").write_text(TSA_CONFIGURATION)
    (tmp_path / "serial").write_text("01")
    # C2PA refuses certificates of time stamp authorities that sign themselves.
    request = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    )
    root = ("-subj", "/O=Test/CN=Root", "-keyout", "root-key.pem", "-out", "root.pem")
    leaf = (
        "-subj", "/O=Test/CN=Time stamps", "-keyout", "key.pem", "-out", "cert.pem", "-CA", "root.pem",
        "-CAkey", "root-key.pem", "-addext", "basicConstraints=critical,CA:FALSE",
        "-addext", "extendedKeyUsage=critical,timeStamping", "-addext", "keyUsage=critical,digitalSignature",
    )  # fmt: skip
    for options in (root, leaf):
        subprocess.run([*request, *options], cwd=tmp_path, check=True, capture_output=True)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            (tmp_path / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            subprocess.run(
                ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-section", "authority", "-queryfile", "query",
                 "-signer", "cert.pem", "-inkey", "key.pem", "-chain", "root.pem", "-out", "reply"],
                cwd=tmp_path, check=True, capture_output=True,
            )  # fmt: skip
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write((tmp_path / "reply").read_bytes())

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_time_stamp_is_part_of_the_signature(photo: Pixels, time_stamp_authority: str) -> None:
    signer = certificates.load_own()
    signed = sign(encoded(photo, "JPEG"), signer, Claim(1, "both", tsa=time_stamp_authority))
    assert check(signed).state == "trusted"
    with c2pa.Reader("image/jpeg", io.BytesIO(signed)) as reader:
        store = json.loads(reader.json())
    assert "time" in store["manifests"][store["active_manifest"]]["signature_info"]


def test_exiftool_reads_the_actions(photo: Pixels, tmp_path: Path) -> None:
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed")
    for name in ("JPEG", "PNG"):
        path = tmp_path / name
        path.write_bytes(sign(encoded(photo, name), certificates.load_own(), Claim(MARK_ID, "both")))
        done = subprocess.run(["exiftool", "-s3", "-ActionsAction", str(path)], capture_output=True, check=True)
        assert b"c2pa.edited" in done.stdout
