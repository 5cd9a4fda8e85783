"""Signs photos and videos with content credentials, and checks them.

A swap is recorded as an edit of the target, its parent; the photos of the identity are components. Credentials that
these files carry become part of the result's. Nothing is fetched, and a time stamp is requested only where a time stamp
authority is given.
"""

import io
import json
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, TypeVar

import c2pa  # type: ignore[import-untyped]

from curate.decode.signatures import HEAD_BYTES
from train.errors import MarkError
from train.marks.containers import media_type
from train.marks.credentials.certificates import Signer, own_root
from train.marks.mark import Provenance
from train.marks.metadata.xmp import SOURCE_TYPE, is_ai_source

Result = TypeVar("Result")
State = Literal["trusted", "valid", "invalid", "absent"]

_ABSENT = ("ManifestNotFound", "JumbfNotFound", "NotSupported", "Unsupported")


@dataclass(frozen=True)
class Credentials:
    """The credentials of a file.

    Attributes:
        state: "valid" is signed and unchanged, but by a signer that this machine does not trust.
        issuer: the organisation of the signing certificate.
        problems: validation status codes of C2PA, such as "signingCredential.untrusted".
        ai_made: a recorded action names a generative model as the source; those of cameras and editors do not.
    """

    state: State
    issuer: str | None = None
    problems: tuple[str, ...] = ()
    ai_made: bool = False


@dataclass(frozen=True)
class Claim:
    """What the credentials of a result say.

    Attributes:
        mark_id, label: of the other marks.
        provenance: files that are recorded by file name, and by the credentials that they carry. A file of a format
            without credentials is recorded by its name alone.
        tsa: URL of a time stamp authority (RFC 3161); None for no time stamp.
    """

    mark_id: int
    label: str
    provenance: Provenance = field(default_factory=Provenance)
    tsa: str | None = None


def sign(data: bytes, signer: Signer, claim: Claim) -> bytes:
    """An encoded photo with credentials added. Raises MarkError where it cannot be signed."""
    result = io.BytesIO()
    _sign(io.BytesIO(data), result, signer, claim)
    return result.getvalue()


class _Output:
    """A file that the library writes into; of an OSError, the library reports only that it could not write.

    error: the first OSError; None where there was none.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        return self._record(lambda: self._file.write(data))

    def flush(self) -> None:
        self._record(self._file.flush)

    def _record(self, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except OSError as error:
            self.error = self.error or error
            raise


def sign_file(path: Path, signer: Signer, claim: Claim) -> None:
    """Add credentials to a photo or video, in place.

    Raises MarkError where it cannot be signed, OSError where it cannot be written.
    """
    # A file without a name: nothing is left behind by a process that is killed, and `path` stays the same file.
    with path.open("r+b") as file, tempfile.TemporaryFile(dir=path.parent) as result:
        output = _Output(result)
        try:
            _sign(file, output, signer, claim)
        except MarkError as error:
            if output.error is not None:
                raise output.error from error
            raise
        result.seek(0)
        file.seek(0)
        shutil.copyfileobj(result, file, 1 << 20)
        file.truncate()


def _sign(source: BinaryIO, result: BinaryIO | _Output, signer: Signer, claim: Claim) -> None:
    mime = media_type(source.read(HEAD_BYTES))
    source.seek(0)
    if mime is None:
        raise MarkError("the file format cannot carry content credentials: write JPEG, PNG, WebP, MP4, MOV or AVI")
    provenance = claim.provenance
    action = {
        "action": "c2pa.edited",
        "digitalSourceType": SOURCE_TYPE,
        "description": "A face was replaced by a generated one.",
        "softwareAgent": {"name": "swapset"},
        "parameters": {"swapset.watermark": f"{claim.mark_id:08x}", "swapset.label": claim.label},
    }
    manifest = {
        "claim_generator_info": [{"name": "swapset"}],
        "format": mime,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }
    settings = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": True}}
    tsa = claim.tsa.encode() if claim.tsa else None
    try:
        info = c2pa.C2paSignerInfo(signer.algorithm, signer.chain.encode(), signer.key.encode(), tsa)
        with (
            c2pa.Signer.from_info(info) as signing,
            c2pa.Context.from_dict(settings) as context,
            c2pa.Builder(manifest, context) as builder,
        ):
            # The library inserts the action "opened" with the parent, or "created", that the standard requires first.
            if provenance.parent:
                builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
                _add_ingredient(builder, provenance.parent, "parentOf", provenance)
            else:
                composite = c2pa.C2paDigitalSourceType.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA
                builder.set_intent(c2pa.C2paBuilderIntent.CREATE, composite)
            for path in provenance.components:
                _add_ingredient(builder, path, "componentOf", provenance)
            _in_thread(lambda: builder.sign(signing, mime, source, result))
    except c2pa.C2paError as error:
        hint = f" (with a time stamp of {claim.tsa}: is it reachable?)" if claim.tsa else ""
        raise MarkError(f"the content credentials could not be signed{hint}: {error}") from error


def check(data: bytes) -> Credentials:
    """Validate the credentials of an encoded photo. The certificate of this machine is trusted."""
    return _check(io.BytesIO(data))


def check_file(path: Path) -> Credentials:
    """Validate the credentials of a photo or video, as `check`. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return _check(file)


def _check(file: BinaryIO) -> Credentials:
    mime = media_type(file.read(HEAD_BYTES))
    file.seek(0)
    if mime is None:
        return Credentials("absent")
    root = own_root()
    settings: dict[str, Any] = {"verify": {"verify_trust": True, "remote_manifest_fetch": False}}
    if root:
        settings["trust"] = {"user_anchors": root}
    try:
        return _from_store(json.loads(_in_thread(lambda: _read(file, mime, settings))))
    except c2pa.C2paError as error:
        if any(name in f"{type(error).__name__} {error}" for name in _ABSENT):
            return Credentials("absent")
        return Credentials("invalid", problems=(str(error),))


def _read(file: BinaryIO, mime: str, settings: dict[str, Any]) -> str:
    with c2pa.Context.from_dict(settings) as context, c2pa.Reader(mime, file, None, context) as reader:
        return str(reader.json())


def _in_thread(call: Callable[[], Result]) -> Result:
    """Call in a thread of its own, and wait for it also where a signal arrives meanwhile.

    The library reads files by calling Python. In the main thread a signal raises its exception there, which the library
    treats as a file that cannot be read: an intact file would be reported as changed.
    """
    with ThreadPoolExecutor(1, "credentials") as pool:
        return pool.submit(call).result()


def _from_store(store: dict[str, Any]) -> Credentials:
    """Credentials from the manifest store, the JSON that the library's reader returns."""
    active = store.get("manifests", {}).get(store.get("active_manifest"), {})
    issuer = active.get("signature_info", {}).get("issuer")
    problems = tuple(sorted({status["code"] for status in store.get("validation_status", [])}))
    state: State
    match store.get("validation_state"):
        case "Trusted":
            state = "trusted"
        case "Valid":
            state = "valid"
        case _:
            state = "invalid"
    return Credentials(state, issuer, problems, _is_ai_made(store))


def _is_ai_made(store: dict[str, Any]) -> bool:
    """Whether an action of a manifest, or of those of its ingredients, has a generative model as its source."""
    for manifest in store.get("manifests", {}).values():
        for assertion in manifest.get("assertions", []):
            data = assertion.get("data")
            actions = data.get("actions", []) if isinstance(data, dict) else []
            if any(is_ai_source(str(action.get("digitalSourceType", ""))) for action in actions):
                return True
    return False


def _add_ingredient(builder: c2pa.Builder, path: Path, relation: str, provenance: Provenance) -> None:
    facts = {"title": path.name, "relationship": relation}
    marks = provenance.marks.get(path)
    if marks:
        # Credentials are recorded by the library; the other marks of a file have no place but its description.
        facts["description"] = "; ".join(f"{name}: {summary}" for name, summary in marks.items())
    try:
        with path.open("rb") as file:
            mime = media_type(file.read(HEAD_BYTES)) or "application/octet-stream"
            file.seek(0)
            _in_thread(lambda: builder.add_ingredient(facts, mime, file))
    except OSError as error:
        raise MarkError(f"{path}: {error.strerror}; content credentials must record every file used") from error
