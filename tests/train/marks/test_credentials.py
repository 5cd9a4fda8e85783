"""Content credentials: signatures, ingredients, certificates."""

import io
import json
import signal
from pathlib import Path

import c2pa  # type: ignore[import-untyped]
import numpy as np
import pytest

from manifests.errors import OutputError
from tests.samples.marks import FORMATS, MARK_ID, Pixels, decoded, encoded
from train.errors import MarkError
from train.marks.credentials import certificates
from train.marks.credentials.signature import check, sign
from train.marks.mark import Provenance
from train.marks.metadata.xmp import SOURCE_TYPE


@pytest.mark.parametrize("name", FORMATS)
def test_credentials_are_valid_until_the_file_changes(name: str, photo: Pixels) -> None:
    signed = sign(encoded(photo, name), certificates.load_own(), MARK_ID, "both", Provenance())
    credentials = check(signed)
    assert (credentials.state, credentials.issuer) == ("trusted", "Swapset")
    assert np.array_equal(decoded(signed), decoded(encoded(photo, name)))
    changed = bytearray(signed)
    changed[len(changed) // 2] ^= 1
    assert check(bytes(changed)).state == "invalid"
    assert check(encoded(decoded(signed), name)).state == "absent"


def test_the_manifest_records_the_edit_and_its_sources(photo: Pixels, tmp_path: Path) -> None:
    target, source, bitmap = tmp_path / "target.jpg", tmp_path / "source.png", tmp_path / "other.bmp"
    target.write_bytes(encoded(photo, "JPEG"))
    source.write_bytes(encoded(photo[:, ::-1], "PNG"))
    bitmap.write_bytes(b"BM a format without credentials")
    provenance = Provenance(target, (source, bitmap))
    signed = sign(encoded(photo, "PNG"), certificates.load_own(), MARK_ID, "both", provenance)
    with c2pa.Reader(None, io.BytesIO(signed)) as reader:
        store = json.loads(reader.json())
    active = store["manifests"][store["active_manifest"]]
    relations = {ingredient["title"]: ingredient["relationship"] for ingredient in active["ingredients"]}
    assert relations == {"target.jpg": "parentOf", "source.png": "componentOf", "other.bmp": "componentOf"}
    (assertion,) = (item for item in active["assertions"] if item["label"].startswith("c2pa.actions"))
    assert any(action.get("digitalSourceType") == SOURCE_TYPE for action in assertion["data"]["actions"])


def test_a_source_that_cannot_be_read_is_an_error(photo: Pixels, tmp_path: Path) -> None:
    with pytest.raises(MarkError, match=r"gone\.jpg: No such file or directory; content credentials must record"):
        sign(encoded(photo, "PNG"), certificates.load_own(), 1, "both", Provenance(tmp_path / "gone.jpg"))


def test_another_machine_does_not_trust_the_certificate(
    photo: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = sign(encoded(photo, "JPEG"), certificates.load_own(), 1, "both", Provenance())
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
    assert check(sign(encoded(photo, "PNG"), signer, MARK_ID, "both", Provenance())).state == "trusted"


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
    data = sign(encoded(photo, "JPEG"), certificates.load_own(), MARK_ID, "both", Provenance())

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
