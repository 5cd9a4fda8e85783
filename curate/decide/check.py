"""Check: a question about a decided collection as a whole, and its answer where something is off."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from curate.decide.collection_numbers import CollectionNumbers
from manifests.layout import SourceRecord

_PLACEHOLDER = re.compile(r"\b(OUT|ROOT|LAYOUT)\b")


@dataclass(frozen=True)
class Finding:
    """A check that found something off. Stored in the manifest's footer, so it names no path.

    Attributes:
        check: name of the check.
        observation: the numbers and names that the check found.
        cause: the likely cause.
        command: the next step; OUT, ROOT and LAYOUT stand for the dataset's folder, its source and its layout.
    """

    check: str
    observation: str
    cause: str
    command: str

    def line(self, out: str, source: SourceRecord) -> str:
        """Return the finding as one line of text, its command with the dataset's own paths."""
        # A merged dataset has several sources; its commands keep the placeholders.
        layout = "LAYOUT" if source.root is None else source.kind
        paths = {"OUT": out, "ROOT": source.root or "ROOT", "LAYOUT": layout}
        command = _PLACEHOLDER.sub(lambda match: shlex.quote(paths[match[0]]), self.command)
        return f"{self.check}: {self.observation}. Likely cause: {self.cause}. Next: {command}"


@dataclass(frozen=True)
class Check:
    """One question about a collection.

    Attributes:
        name: name in reports and in the manifest's footer.
        meaning: when the check finds something, for documentation.
        observe: the numbers of a collection -> what is off, as a clause with numbers and names; None where nothing is.
        cause: the likely cause.
        command: the next step, as in `Finding`.
        explained_by: checks whose findings explain this one, which is then left out.
    """

    name: str
    meaning: str
    observe: Callable[[CollectionNumbers], str | None]
    cause: str
    command: str
    explained_by: tuple[str, ...] = ()


def share_of(count: int, total: int) -> str:
    """Return "3 of 20", from a total of 100 on with the percentage."""
    return f"{count:,} of {total:,}" + (f" ({100 * count / total:.0f}%)" if total >= 100 else "")


def policy_command(*keys: str) -> str:
    """Return the next step of deciding by a policy with these keys, lines of TOML."""
    lines = "\\n".join(keys)
    return f"printf '{lines}\\n' > my-policy.toml && curate decide OUT --policy my-policy.toml"
