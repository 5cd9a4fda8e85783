"""The dataset that is in OUT already: what a measurement keeps of it, and when it is refused."""

from pathlib import Path

from curate.errors import DatasetError, OutputError
from curate.sources.layouts.folder import resolve_identities
from manifests.layout import INFO, DatasetInfo, read_info
from manifests.locations import as_path


def recorded(out: Path) -> DatasetInfo | None:
    """Return the description of the dataset in OUT; None where there is none. Raises DatasetError."""
    return read_info(out) if (out / INFO).exists() else None


def check_apart(root: Path, out: Path) -> None:
    """Raise OutputError where OUT is ROOT or inside it: nothing is ever written into a source."""
    source, target = root.resolve(), out.resolve()
    if target == source or source in target.parents:
        raise OutputError(
            f"--out {out} lies inside --root {root}: nothing is written into a source; choose another --out"
        )


def check_same_source(info: DatasetInfo, out: Path, layout: str, root: Path, identities: str | None) -> None:
    """Raise OutputError where the dataset in OUT has another source, DatasetError where it is a merged one."""
    if info.parts:
        raise DatasetError(f"{out} is a merged dataset: measure its parts, then merge them again")
    recorded_root = str(info.source.root)
    another_root = recorded_root != str(root.resolve()) and as_path(recorded_root).exists()
    if info.source.kind != layout or another_root:
        raise OutputError(f"{out} holds {info.source.kind} {recorded_root}, not {layout} {root}: choose another --out")
    given = resolve_identities(identities)
    if info.source.identities != given:
        raise OutputError(
            f"{out} was created {_with_identities(info.source.identities)}, not {_with_identities(given)}: "
            "use the same --identities, or choose another --out"
        )


def _with_identities(value: str | None) -> str:
    return "without --identities" if value is None else f"with --identities {value}"
