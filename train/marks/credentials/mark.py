"""Content credentials as a mark of the table."""

from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

from train.marks.containers import PHOTO_FORMATS, Container
from train.marks.credentials import certificates
from train.marks.credentials.signature import Claim, Credentials, check, check_file, sign_file
from train.marks.mark import FileMark, MarkFinding, Provenance
from train.marks.marking import Marking
from train.marks.media import MediaFile


class ContentCredentials(FileMark):
    """A C2PA manifest that names the edit and its source files; any change of the file invalidates it."""

    name: ClassVar[str] = "credentials"
    containers: ClassVar[frozenset[Container]] = PHOTO_FORMATS | {"mp4", "mov", "avi"}

    def __init__(self, marking: Marking) -> None:
        self._mark_id, self._label, self._tsa = marking.mark_id, marking.label, marking.tsa
        if marking.certificate is not None and marking.key is not None:
            self._signer = certificates.load(marking.certificate, marking.key)
        else:
            self._signer = certificates.load_own()

    def apply(self, path: Path, container: Container, provenance: Provenance) -> tuple[str, ...]:
        sign_file(path, self._signer, Claim(self._mark_id, self._label, provenance, self._tsa))
        return ()

    @staticmethod
    def read(file: MediaFile) -> MarkFinding | None:
        if file.kind == "photo":
            credentials = check(file.data)
        elif file.can_carry_credentials:
            credentials = check_file(file.path)
        else:
            return None
        is_valid = credentials.state in ("trusted", "valid")
        return MarkFinding(
            is_valid and credentials.ai_made,
            _summary(credentials),
            asdict(credentials),
            invalid=credentials.state == "invalid",
            declares_nothing=is_valid and not credentials.ai_made,
        )


def _summary(credentials: Credentials) -> str:
    declared = "" if credentials.ai_made else "; they do not declare the content AI-made"
    match credentials.state:
        case "absent":
            return "none"
        case "trusted":
            return f"trusted, signed by {credentials.issuer}{declared}"
        case "valid":
            return f"valid, signed by {credentials.issuer}, a signer that this machine does not trust{declared}"
        case "invalid":
            return f"INVALID: {', '.join(credentials.problems) or 'the file was changed after it was signed'}"
