"""The certificate that signs content credentials: the user's own, or one of this machine's, made on first use.

The machine's own is signed by an authority that exists for that one signature: its key is thrown away at once. So
nobody can make another certificate in its name, and nobody but this machine trusts it. Readers elsewhere call such
credentials valid and untrusted; a certificate of a known authority (--certificate, --key) makes them trusted.
"""

import datetime
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from manifests.output import writable
from train.errors import MarkError

_CHAIN, _KEY, _ROOT = "certificate.pem", "key.pem", "authority.pem"
_YEARS = 20  # no time stamp is asked for, so a signature is good for as long as its certificate


@dataclass(frozen=True)
class Identity:
    """`chain`: PEM, the signing certificate first; `key`: PEM, PKCS #8; `algorithm`: as C2PA names it."""

    chain: str
    key: str
    algorithm: str


def home() -> Path:
    """Where things of this user are kept: $SWAPSET_HOME, else swapset in $XDG_DATA_HOME or ~/.local/share."""
    chosen = os.environ.get("SWAPSET_HOME")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "swapset"


def own() -> Identity:
    """This machine's identity, made on first use. Raises OutputError where it cannot be written."""
    folder = _folder()
    if not folder.is_dir():
        _make(folder)
    return load(folder / _CHAIN, folder / _KEY)


def own_root() -> str | None:
    """The certificate, PEM, of this machine's own authority; None before its first use."""
    path = _folder() / _ROOT
    return path.read_text("ascii") if path.is_file() else None


def load(certificate: Path, key: Path) -> Identity:
    """An identity from PEM files: a chain with the signing certificate first, and its key without a password.

    Raises MarkError where a file is missing or unreadable, where the two do not belong together, and for a kind of key
    that C2PA does not know.
    """
    try:
        chain, secret = certificate.read_bytes(), key.read_bytes()
    except OSError as error:
        raise MarkError(
            f"{error.filename}: {error.strerror}; a PEM file is needed to sign content credentials"
        ) from error
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        raise MarkError(f"{certificate}: holds no certificate in PEM; give the chain, the signing one first") from error
    try:
        private = serialization.load_pem_private_key(secret, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MarkError(f"{key}: holds no private key in PEM that opens without a password") from error
    if leaf.public_key() != private.public_key():
        raise MarkError(f"{key}: is not the key of {certificate}; give the two that were made together")
    algorithm = _algorithm(private)
    if algorithm is None:
        raise MarkError(
            f"{key}: credentials are signed with ES256, ES384, ES512, PS256 or Ed25519 keys; make one of these"
        )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Identity(chain.decode("utf-8", "replace"), pem.decode("ascii"), algorithm)


def _algorithm(key: PrivateKeyTypes) -> str | None:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}.get(key.curve.name)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    return "ps256" if isinstance(key, rsa.RSAPrivateKey) else None


def _folder() -> Path:
    return home() / "credentials"


def _make(folder: Path) -> None:
    """Write the three files into a folder beside, then give it its name: whole or not at all."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    mark = secrets.token_hex(4)
    root_name, leaf_name = _name(f"Swapset authority {mark}"), _name(f"Swapset {mark}")
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    root = (
        _certificate(root_name, root_name, authority.public_key(), authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(authority, hashes.SHA256())
    )
    signs = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    leaf = (
        _certificate(leaf_name, root_name, key.public_key(), authority.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(signs, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .sign(authority, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    with writable(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".credentials-", dir=folder.parent))
    try:
        with writable(folder):
            (aside / _ROOT).write_bytes(root.public_bytes(pem))
            (aside / _CHAIN).write_bytes(leaf.public_bytes(pem) + root.public_bytes(pem))
            (aside / _KEY).touch(0o600)
            (aside / _KEY).write_bytes(
                key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            )
        try:
            aside.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first, and its identity is as good
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Swapset"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, authority: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False)
    )
