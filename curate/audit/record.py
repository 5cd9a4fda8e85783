"""The result of an audit, as it is stored in the manifest's footer and shown in the report."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from curate.counts import counted
from curate.fingerprint import fingerprint
from curate.lineage import MADE_FROM
from manifests import layout
from manifests.errors import DatasetError
from manifests.records import InvalidRecordError, parse_record
from manifests.schema import arrow_schema
from manifests.table_file import TableFile
from manifests.writer import write_table

ANY = "any"
"""In place of a kind: any kind of noise."""


@dataclass(frozen=True)
class KindShare:
    """Share of a population that is of a kind, its 95% interval, and the judged photos of that kind."""

    kind: str
    share: float
    low: float
    high: float
    found: int


@dataclass(frozen=True)
class PopulationResult:
    """Result for the kept or the dropped photos: photos in all, judged ones, and the share of each kind."""

    population: str
    photos: int
    judged: int
    shares: tuple[KindShare, ...]

    def share(self, kind: str) -> KindShare:
        """Return the share of a kind."""
        return next(share for share in self.shares if share.kind == kind)


@dataclass(frozen=True)
class AnnotatorResult:
    """Results of one annotator."""

    annotator: str
    populations: tuple[PopulationResult, ...]


@dataclass(frozen=True)
class Agreement:
    """Two annotators: photos that both judged, the share judged alike, and Cohen's kappa."""

    first: str
    second: str
    photos: int
    alike: float
    kappa: float


@dataclass(frozen=True)
class AuditRecord:
    """An audit.

    Attributes:
        seed: of the draw.
        basis: identifies the verdicts that it was drawn from.
        results: of each annotator who has judged the whole draw.
        agreements: of each two annotators.
    """

    seed: int
    basis: str
    results: tuple[AnnotatorResult, ...]
    agreements: tuple[Agreement, ...] = ()

    def lines(self) -> list[str]:
        """Format the audit as lines of plain text."""
        lines = []
        for result in self.results:
            for population in result.populations:
                head = f"{population.population}: {population.judged:,} of {counted(population.photos, 'photo')} judged"
                lines.append(f"{head} by {result.annotator}, seed {self.seed}")
                lines += [
                    f"  {share.kind.replace('_', ' '):<14}{100 * share.share:6.2f}%  "
                    f"(95%: {100 * share.low:.2f}-{100 * share.high:.2f}%)  {share.found:>4} judged so"
                    for share in population.shares
                ]
        for pair in self.agreements:
            lines.append(
                f"{pair.first} and {pair.second}: {100 * pair.alike:.1f}% of {pair.photos:,} photos alike, "
                f"kappa {pair.kappa:.2f}"
            )
        return lines


def basis_of(footer: Mapping[str, str]) -> str:
    """Return what identifies the verdicts of a manifest: policy, calibration, relations and overrides."""
    return fingerprint({"policy": footer.get(layout.POLICY_HASH, ""), "inputs": footer.get(MADE_FROM, "")})


def store(manifest: Path, record: AuditRecord) -> None:
    """Write the result into the footer of a manifest; its rows stay as they are."""
    file = TableFile(manifest)
    footer = file.metadata | {layout.AUDIT: json.dumps(asdict(record))}
    tables = (file.read(group=group) for group in range(file.row_groups))
    write_table(manifest, tables, arrow_schema("manifest"), footer)


def stored_audit(footer: Mapping[str, str]) -> AuditRecord | None:
    """Return the audit in a manifest's footer, None where there is none. Raises DatasetError for something else."""
    if layout.AUDIT not in footer:
        return None
    try:
        return parse_record(footer[layout.AUDIT], AuditRecord)
    except InvalidRecordError as error:
        text = f"{layout.MANIFEST} records no audit ({error}): run `curate audit` again"
        raise DatasetError(text) from error


def carried_audit(manifest: Path, footer: Mapping[str, str]) -> dict[str, str]:
    """Return the footer entry of the audit of an earlier manifest, where its verdicts are those of the new `footer`.

    An earlier manifest that cannot be read has none.
    """
    try:
        earlier = TableFile(manifest).metadata
    except DatasetError:
        return {}
    same = layout.AUDIT in earlier and basis_of(earlier) == basis_of(footer)
    return {layout.AUDIT: earlier[layout.AUDIT]} if same else {}
