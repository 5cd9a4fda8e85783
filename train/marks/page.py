"""A page with the verdicts of `simswap verify`: one HTML file without scripts and external parts."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from curate.counts import counted
from manifests.output import atomic
from manifests.partials import remove_partials_of
from train.marks.verify import HEADLINES, Verdict

_STYLE = """
body { font: 15px/1.4 sans-serif; margin: 2em; }
table { border-collapse: collapse; }
td, th { border: 1px solid #ccc; padding: .3em .6em; text-align: left; vertical-align: top; }
.marked { background: #e3f4e3; } .forgeable { background: #fff6d6; }
.invalid, .unreadable { background: #fbe0e0; }
"""


def write_page(path: Path, verdicts: Sequence[Verdict]) -> None:
    """Write the page. Raises OutputError where it cannot be written."""
    counts = Counter(verdict.state for verdict in verdicts)
    summary = ", ".join(f"{count:,} {state}" for state, count in sorted(counts.items()))
    names = list(dict.fromkeys(name for verdict in verdicts for name in verdict.findings))
    head = "".join(f"<th>{escape(name)}</th>" for name in ("file", "verdict", *names))
    rows = "\n".join(_row(verdict, names) for verdict in verdicts)
    text = (
        f"<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>Marks</title><style>{_STYLE}</style>\n"
        f"<h1>Marks of {counted(len(verdicts), 'file')}</h1>\n<p>{summary}. Marks are labels: a file without marks may "
        f"be AI-made all the same.</p>\n<table>\n<tr>{head}</tr>\n{rows}\n</table></html>\n"
    )
    remove_partials_of(path)
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="replace")


def _row(verdict: Verdict, names: Sequence[str]) -> str:
    findings = [verdict.findings.get(name) for name in names]
    cells = [str(verdict.path), verdict.error or HEADLINES[verdict.state]]
    cells += ["" if finding is None else finding.summary for finding in findings]
    return f"<tr class='{verdict.state}'>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
