"""Content credentials (C2PA): an encoded photo -> the same with a signed record of what was done; and the check.

A swap is an edit of the target photo, its parent; the photos of the identity are components. The library works offline:
no time stamp is asked for and nothing is looked up.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import c2pa  # type: ignore[import-untyped]

from train.errors import MarkError
from train.marks.certificates import Identity, own_root
from train.marks.metadata import MIME, format_of
from train.marks.xmp import SOURCE_TYPE

State = Literal["trusted", "valid", "invalid", "absent"]

_ABSENT = ("ManifestNotFound", "JumbfNotFound", "NotSupported", "Unsupported")
_NOT_TRUSTED = "signingCredential.untrusted"


@dataclass(frozen=True)
class Credentials:
    """What a file's credentials say. `state`: "valid" is signed and whole, by somebody whom this machine does not know.

    `issuer`: who signed; `problems`: the library's codes of what does not hold.
    """

    state: State
    issuer: str | None = None
    problems: tuple[str, ...] = ()


def sign(
    data: bytes, identity: Identity, mark_id: int, label: str, parent: Path | None, components: Sequence[Path]
) -> bytes:
    """An encoded JPEG, PNG or WebP -> the same with credentials. Raises MarkError where it cannot be signed.

    `parent` and `components` are recorded by file name and by the credentials that they bring themselves; one of a
    format without credentials is recorded by its name alone.
    """
    kind = format_of(data)
    if kind is None:
        raise MarkError("this format carries no content credentials: write JPEG, PNG or WebP")
    action = {
        "action": "c2pa.edited",
        "digitalSourceType": SOURCE_TYPE,
        "description": "A face was replaced by a generated one.",
        "softwareAgent": {"name": "swapset"},
        "parameters": {"swapset.watermark": f"{mark_id:08x}", "swapset.label": label},
    }
    manifest = {
        "claim_generator_info": [{"name": "swapset"}],
        "format": MIME[kind],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }
    settings = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": True}}
    result = io.BytesIO()
    try:
        info = c2pa.C2paSignerInfo(identity.algorithm, identity.chain.encode(), identity.key.encode(), None)
        with (
            c2pa.Signer.from_info(info) as signer,
            c2pa.Context.from_dict(settings) as context,
            c2pa.Builder(manifest, context) as builder,
        ):
            # The library puts "opened" with the parent, or "created", before our action, as the standard asks.
            if parent:
                builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
            else:
                composite = c2pa.C2paDigitalSourceType.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA
                builder.set_intent(c2pa.C2paBuilderIntent.CREATE, composite)
            for path, relation in [(parent, "parentOf"), *((path, "componentOf") for path in components)]:
                if path is not None:
                    _add(builder, path, relation)
            builder.sign(signer, MIME[kind], io.BytesIO(data), result)
    except c2pa.C2paError as error:
        raise MarkError(f"the content credentials could not be signed: {error}") from error
    return result.getvalue()


def check(data: bytes) -> Credentials:
    """The state of the credentials in an encoded photo. This machine's own certificate is trusted."""
    root = own_root()
    settings: dict[str, Any] = {"verify": {"verify_trust": True, "remote_manifest_fetch": False}}
    if root:
        settings["trust"] = {"user_anchors": root}
    try:
        with c2pa.Context.from_dict(settings) as context, c2pa.Reader(None, io.BytesIO(data), None, context) as reader:
            return _judged(json.loads(reader.json()))
    except c2pa.C2paError as error:
        if any(name in f"{type(error).__name__} {error}" for name in _ABSENT):
            return Credentials("absent")
        return Credentials("invalid", problems=(str(error),))


def _judged(store: dict[str, Any]) -> Credentials:
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
    return Credentials(state, issuer, problems)


def _add(builder: c2pa.Builder, path: Path, relation: str) -> None:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MarkError(f"{path}: {error.strerror}; the credentials must name every photo that was used") from error
    kind = format_of(data)
    builder.add_ingredient(
        {"title": path.name, "relationship": relation},
        MIME[kind] if kind else "application/octet-stream",
        io.BytesIO(data),
    )
