"""Certificates that sign content credentials: the user's own, or one that this machine creates on first use.

The certificate of this machine is issued by an authority that exists for this one signature: its private key is
discarded at once. So no other certificate can be issued in its name, and only this machine trusts it. Validators
elsewhere report such credentials as valid and untrusted; a certificate of a known authority (--certificate, --key)
makes them trusted.
"""

import datetime
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from manifests.output import atomic_folder
from train.errors import MarkError

_CHAIN, _KEY, _ROOT = "certificate.pem", "key.pem", "authority.pem"
_YEARS = 20  # without a time stamp, a signature is valid only as long as its certificate

_KEY_USAGES = (  # RFC 5280, 4.2.1.3
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


@dataclass(frozen=True)
class Signer:
    """chain: PEM, the signing certificate first. key: PEM, PKCS #8. algorithm: as C2PA names it, such as "es256"."""

    chain: str
    key: str
    algorithm: str


def home() -> Path:
    """Data folder of the user: $SWAPSET_HOME, else swapset in $XDG_DATA_HOME or ~/.local/share."""
    override = os.environ.get("SWAPSET_HOME")
    if override:
        return Path(override)
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "swapset"


def load_own() -> Signer:
    """The certificate of this machine, created on first use. Raises OutputError where it cannot be written."""
    folder = _folder()
    if not folder.is_dir():
        create(folder)
    return load(folder / _CHAIN, folder / _KEY)


def own_root() -> str | None:
    """The certificate, PEM, of this machine's authority; None where none has been created."""
    path = _folder() / _ROOT
    return path.read_text("ascii") if path.is_file() else None


def load(certificate: Path, key: Path) -> Signer:
    """Load PEM files: a chain with the signing certificate first, and its key without a password.

    Raises MarkError where a file is missing or unreadable, where the key is not that of the certificate, and for a type
    of key that C2PA does not support.
    """
    try:
        chain, secret = certificate.read_bytes(), key.read_bytes()
    except OSError as error:
        raise MarkError(f"{error.filename}: {error.strerror}; give a PEM file to sign content credentials") from error
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        raise MarkError(f"{certificate}: contains no PEM certificate; give a chain, signer first") from error
    try:
        private = serialization.load_pem_private_key(secret, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MarkError(f"{key}: contains no PEM private key without a password; give one") from error
    if leaf.public_key() != private.public_key():
        raise MarkError(f"{key}: is not the private key of {certificate}; give a matching pair")
    algorithm = _algorithm(private)
    if algorithm is None:
        raise MarkError(
            f"{key}: unsupported type of key; content credentials need an ES256, ES384, ES512, PS256 or Ed25519 key"
        )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Signer(chain.decode("utf-8", "replace"), pem.decode("ascii"), algorithm)


def _algorithm(key: PrivateKeyTypes) -> str | None:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}.get(key.curve.name)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    return "ps256" if isinstance(key, rsa.RSAPrivateKey) else None


def _folder() -> Path:
    return home() / "credentials"


def create(folder: Path) -> None:
    """Create an authority and a certificate, and write their files. A folder appears complete or not at all."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    suffix = secrets.token_hex(4)
    root_name, leaf_name = _name(f"Swapset authority {suffix}"), _name(f"Swapset {suffix}")
    root = (
        _certificate(root_name, root_name, authority.public_key(), authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage("key_cert_sign", "crl_sign"), critical=True)
        .sign(authority, hashes.SHA256())
    )
    leaf = (
        _certificate(leaf_name, root_name, key.public_key(), authority.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .sign(authority, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    try:
        with atomic_folder(folder, replace=False) as unfinished:
            unfinished.chmod(0o700)
            (unfinished / _ROOT).write_bytes(root.public_bytes(pem))
            (unfinished / _CHAIN).write_bytes(leaf.public_bytes(pem) + root.public_bytes(pem))
            (unfinished / _KEY).touch(0o600)
            (unfinished / _KEY).write_bytes(
                key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            )
    except OSError:
        if not folder.is_dir():  # otherwise another process was first, and its certificate is used
            raise


def _key_usage(*allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in allowed for name in _KEY_USAGES})


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
