"""Write the data card of a dataset, or of an exported folder."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path, PurePath

import pyarrow as pa
import pyarrow.compute as pc

from curate.audit.record import stored_audit
from curate.card.numbers import COLUMNS, card_numbers
from curate.decide.footer import requested_policy, stored_findings
from curate.decide.policy import POLICIES
from curate.faces.weights import REGISTRY
from curate.lineage import require_current
from manifests.layout import MANIFEST, POLICY, SHARPNESS_LIMIT, DatasetInfo
from manifests.output import atomic
from manifests.partials import remove_partials_of
from manifests.reader import Dataset
from manifests.schema import SCHEMA_VERSION
from manifests.table_file import TableFile

_HEADER = """\
---
license: other
task_categories: [image-to-image]
tags: [faces, curated]
---
"""
_QUANTILE_NAMES = {
    "sharpness": "sharpness score, 0-1",
    "eye_distance": "distance between the eyes, px of the photo",
    "width": "width of the photo, px",
    "height": "height of the photo, px",
}


@dataclass(frozen=True)
class ExportedFaces:
    """What an exported folder holds: faces, people, and the faces of each split."""

    faces: int
    people: int
    splits: dict[str, int]


def write_card(dataset_dir: Path, out: Path) -> Path:
    """Write the card of a dataset to `out`; return the path.

    Raises DatasetError without a manifest or where it is out of date, OutputError where the file cannot be written.
    """
    dataset = Dataset.open(dataset_dir)
    require_current(dataset)
    remove_partials_of(out)
    with atomic(out) as partial:
        partial.write_text(_text(dataset, "", None), encoding="utf-8")
    return out


def write_export_card(path: Path, dataset: Dataset, faces: pa.Table, content: str) -> None:
    """Write the card of exported faces, with the header of the Hugging Face hub.

    Args:
        path: the file.
        dataset: what the faces were exported from.
        faces: the exported rows of its manifest, with identity and split.
        content: Markdown that describes the files.
    """
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(faces["split"]).to_pylist()}
    exported = ExportedFaces(faces.num_rows, len(pc.unique(faces["identity"])), dict(sorted(counts.items())))
    with atomic(path) as partial:
        partial.write_text(_HEADER + _text(dataset, content, exported), encoding="utf-8")


def _text(dataset: Dataset, content: str, exported: ExportedFaces | None) -> str:
    import jinja2

    manifest = TableFile(dataset.path / MANIFEST)
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    template = environment.from_string((files("curate.card") / "card.md").read_text(encoding="utf-8"))
    return template.render(
        name=_plain(dataset.path.resolve().name),
        content=content,
        exported=exported,
        numbers=card_numbers(dataset.manifest(COLUMNS)),
        sources=_sources(dataset),
        policy=_policy(manifest.metadata) if POLICY in manifest.metadata and not dataset.parts else "",
        merged=bool(dataset.parts),
        policy_hash=dataset.policy_hash(),
        findings=stored_findings(manifest.metadata),
        audits=_audits(manifest.metadata),
        template=dataset.info.template,
        models=_models(dataset),
        version=_version(),
        schema_version=SCHEMA_VERSION,
        digest=manifest.digest,
        quantile_names=_QUANTILE_NAMES,
        n="{:,}".format,
        percent=lambda share: f"{100 * share:.1f}%",
        number=lambda value: f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}",
    )


def _audits(metadata: dict[str, str]) -> list[str]:
    """The result of `curate audit` as a block of plain text; empty where there is none."""
    audit = stored_audit(metadata)
    return ["```", *(line.replace("`", "'") for line in audit.lines()), "```"] if audit and audit.results else []


def _sources(dataset: Dataset) -> list[str]:
    """A line for the source, or for that of each part of a merged dataset; without paths: cards are passed on."""
    if not dataset.parts:
        return [_source(dataset.info)]
    return [f"{_plain(name)}: {line}" for name, part in dataset.parts.items() for line in _sources(Dataset.open(part))]


def _source(info: DatasetInfo) -> str:
    record = info.source
    limit = f", the first {record.limit:,} photos in whole persons" if record.limit else ""
    return f"Layout {record.kind}, folder or archive {_plain(PurePath(record.root or '').name) or 'unknown'}{limit}."


def _policy(metadata: dict[str, str]) -> str:
    """The preset with the same values, or the keys that differ from the default one."""
    values = {key.name: key.value for key in requested_policy(metadata).describe()}
    presets = {name: {key.name: key.value for key in POLICIES.load(name).describe()} for name in POLICIES.names()}
    equal = [name for name, preset in presets.items() if preset == values]
    changed = [f"{name} = {value}" for name, value in values.items() if value != presets["default"][name]]
    text = f"preset {equal[0]}" if equal else f"the preset default with {', '.join(changed)}"
    if SHARPNESS_LIMIT in metadata:
        text += f", the least sharpness adapted to the collection ({float(metadata[SHARPNESS_LIMIT]):.2f})"
    return text


def _models(dataset: Dataset) -> list[str]:
    """A line for each network, with the licence of its weights where `REGISTRY` has them."""
    names = {info.models.embedder.name for info in _infos(dataset)}
    lines = [f"Embedder {_plain(name)}: {_licence(name)}." for name in sorted(names)]
    packs = {info.models.choice.pack for info in _infos(dataset) if info.models.choice}
    for pack in sorted(packs - {"builtin"}):
        lines.append(f"Detector: insightface pack {_plain(pack)}, non-commercial research use only.")
    tasks = ("detection", "segmentation") if "builtin" in packs else ("segmentation",)
    shipped = [weights for weights in REGISTRY.values() if weights.task in tasks and weights.package]
    return lines + [f"{w.task.capitalize()} {_plain(w.name)}: weights: {w.licence}." for w in shipped]


def _licence(name: str) -> str:
    weights = REGISTRY.get(name)
    return f"weights: {weights.licence}" if weights else "weights of the owner, whose licence is unknown"


def _infos(dataset: Dataset) -> list[DatasetInfo]:
    if not dataset.parts:
        return [dataset.info]
    return [info for part in dataset.parts.values() for info in _infos(Dataset.open(part))]


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: names of folders are of unknown origin."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return "".join(f"\\{character}" if character in "\\`*_{}[]<>()#+!|~" else character for character in printable)


def _version() -> str:
    try:
        return version("swapset")
    except PackageNotFoundError:  # run from a checkout
        return "of a checkout"
