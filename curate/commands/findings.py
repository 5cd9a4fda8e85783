"""What the checks found in a collection, printed by the commands that decide or merge one."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.decide.check import Finding


def print_findings(findings: "Sequence[Finding]", out: Path, *, strict: bool = False) -> None:
    """Print what the checks found. Raises ChecksError if `strict` and there is something."""
    from curate.errors import ChecksError
    from manifests.layout import read_info

    source = read_info(out).source
    for finding in findings:
        print(f"check {finding.line(str(out), source)}", file=sys.stderr)
    if strict and findings:
        names = ", ".join(finding.check for finding in findings)
        raise ChecksError(f"{out} is complete, but checks found something off ({names}): see the next steps above")
