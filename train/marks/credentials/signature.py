"""Signs photos with content credentials, and checks them.

A swap is recorded as an edit of the target photo, its parent; the photos of the identity are components. No time stamp
is requested and nothing is fetched.
"""

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import c2pa  # type: ignore[import-untyped]

from train.errors import MarkError
from train.marks.containers import MIME, photo_format
from train.marks.credentials.certificates import Signer, own_root
from train.marks.mark import Provenance
from train.marks.metadata.xmp import SOURCE_TYPE

Result = TypeVar("Result")
State = Literal["trusted", "valid", "invalid", "absent"]

_AI_SOURCE = "rainedAlgorithmicMedia"
"""Ends the IPTC terms trainedAlgorithmicMedia and compositeWithTrainedAlgorithmicMedia."""
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


def sign(data: bytes, signer: Signer, mark_id: int, label: str, provenance: Provenance) -> bytes:
    """The encoded JPEG, PNG or WebP with credentials added. Raises MarkError where it cannot be signed.

    The files of `provenance` are recorded by file name, and by the credentials that they carry. A file of a format
    without credentials is recorded by its name alone.
    """
    format = photo_format(data)
    if format is None:
        raise MarkError("the file format cannot carry content credentials: write JPEG, PNG or WebP")
    action = {
        "action": "c2pa.edited",
        "digitalSourceType": SOURCE_TYPE,
        "description": "A face was replaced by a generated one.",
        "softwareAgent": {"name": "swapset"},
        "parameters": {"swapset.watermark": f"{mark_id:08x}", "swapset.label": label},
    }
    manifest = {
        "claim_generator_info": [{"name": "swapset"}],
        "format": MIME[format],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }
    settings = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": True}}
    result = io.BytesIO()
    try:
        info = c2pa.C2paSignerInfo(signer.algorithm, signer.chain.encode(), signer.key.encode(), None)
        with (
            c2pa.Signer.from_info(info) as signing,
            c2pa.Context.from_dict(settings) as context,
            c2pa.Builder(manifest, context) as builder,
        ):
            # The library inserts the action "opened" with the parent, or "created", that the standard requires first.
            if provenance.parent:
                builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
                _add_ingredient(builder, provenance.parent, "parentOf")
            else:
                composite = c2pa.C2paDigitalSourceType.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA
                builder.set_intent(c2pa.C2paBuilderIntent.CREATE, composite)
            for path in provenance.components:
                _add_ingredient(builder, path, "componentOf")
            _in_thread(lambda: builder.sign(signing, MIME[format], io.BytesIO(data), result))
    except c2pa.C2paError as error:
        raise MarkError(f"the content credentials could not be signed: {error}") from error
    return result.getvalue()


def check(data: bytes) -> Credentials:
    """Validate the credentials of an encoded photo. The certificate of this machine is trusted."""
    root = own_root()
    settings: dict[str, Any] = {"verify": {"verify_trust": True, "remote_manifest_fetch": False}}
    if root:
        settings["trust"] = {"user_anchors": root}
    try:
        return _from_store(json.loads(_in_thread(lambda: _read(data, settings))))
    except c2pa.C2paError as error:
        if any(name in f"{type(error).__name__} {error}" for name in _ABSENT):
            return Credentials("absent")
        return Credentials("invalid", problems=(str(error),))


def _read(data: bytes, settings: dict[str, Any]) -> str:
    with c2pa.Context.from_dict(settings) as context, c2pa.Reader(None, io.BytesIO(data), None, context) as reader:
        return str(reader.json())


def _in_thread(call: Callable[[], Result]) -> Result:
    """Call in a thread of its own, and wait for it also where a signal arrives meanwhile.

    The library reads files by calling Python. In the main thread a signal raises its exception there, which the library
    takes for a file that cannot be read: an intact file would be reported as changed.
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
            if any(_AI_SOURCE in str(action.get("digitalSourceType", "")) for action in actions):
                return True
    return False


def _add_ingredient(builder: c2pa.Builder, path: Path, relation: str) -> None:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MarkError(f"{path}: {error.strerror}; content credentials must record every photo used") from error
    format = photo_format(data)
    facts = {"title": path.name, "relationship": relation}
    mime = MIME[format] if format else "application/octet-stream"
    _in_thread(lambda: builder.add_ingredient(facts, mime, io.BytesIO(data)))
