"""Policy: every threshold that turns numbers into verdicts; a TOML preset or file in, a frozen, hashable value out.

    extends = "default"      # any preset or file; what is not named stays as it is there
    min_sharpness = 0.6

Numbers are measured once; policies are cheap to try (`curate decide --policy FILE`).
"""

import difflib
import hashlib
import json
import math
import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from curate.errors import PolicyError


def _threshold(default: float, low: float, high: float, unit: str, raising: str) -> Any:
    """One field: its value by default, the range that is accepted, its unit, and what raising it does."""
    return field(default=default, metadata={"low": low, "high": high, "unit": unit, "raising": raising})


def _switch(default: bool, meaning: str) -> Any:
    return field(default=default, metadata={"unit": "true or false", "raising": meaning})


@dataclass(frozen=True)
class Policy:
    """Thresholds of one way to decide. A number equal to its threshold passes, `wrong_person` apart (it does not).

    `dataclasses.fields(Policy)` carries for each: metadata low, high, unit, raising (what raising it does).
    The class itself is the preset `default`.
    """

    min_side: float = _threshold(
        0, 0, 100_000, "px", "drops more photos as too_small: the shorter side of the photo must be this long"
    )
    min_eye_distance: float = _threshold(
        20, 0, 10_000, "source px", "drops more photos as too_small: small or far faces go, whatever the photo's size"
    )
    max_upscale: float = _threshold(
        8, 0, 1_000, "crop px per source px", "keeps more photos: crops may be enlarged further (too_small)"
    )
    min_sharpness: float = _threshold(
        0.5, 0, 1, "0-1", "drops more photos as blurred; 0.5 is the boundary that synthetic blur was calibrated to"
    )
    adapt_sharpness: bool = _switch(
        True, "true lowers min_sharpness where nearly all photos are soft (scans, small originals), to those far softer"
    )
    max_stretch: float = _threshold(
        1.3, 1, 100, "ratio", "keeps more photos: a face may be this much too tall or too wide (stretched)"
    )
    max_corruption: float = _threshold(
        0.006, 0, 1, "share of the 8 px edges", "keeps more photos with torn blocks (corrupt_pixels)"
    )
    max_flat_fraction: float = _threshold(
        0.3, 0, 1, "share of the face", "keeps more faces that are partly one constant colour (corrupt_pixels)"
    )
    max_flat_rows: float = _threshold(
        0.25, 0, 1, "share of the photo's rows", "keeps more half-decoded photos whose lower part is one colour"
    )
    max_clipped_dark: float = _threshold(
        0.5, 0, 1, "share of face pixels", "keeps more faces that have drowned in black (too_dark)"
    )
    min_brightness: float = _threshold(
        30, 0, 255, "median luma", "drops more faces as too_dark; only where min_local_contrast fails as well"
    )
    min_local_contrast: float = _threshold(
        4, 0, 128, "levels", "drops more dark faces as too_dark; dark skin that shows its structure is never dropped"
    )
    max_clipped_bright: float = _threshold(
        0.4, 0, 1, "share of face pixels", "keeps more faces that have burnt out to white (too_bright)"
    )
    max_wrong_person: float = _threshold(
        0.5, 0, 1.01, "probability", "keeps more photos that may show another person; 1.01 keeps them all"
    )
    min_identity_purity: float = _threshold(
        0.25, 0, 1, "share of faces", "drops more whole identities as mixed_identity: folders that are no one person"
    )
    drop_duplicates: bool = _switch(True, "true drops every copy but the best, the same bytes (duplicate)")
    drop_near_duplicates: bool = _switch(True, "true drops every copy but the best, the same picture (near_duplicate)")
    drop_excluded: bool = _switch(True, "true drops who matches a reference of the exclusion gallery (excluded)")
    min_excluded_similarity: float = _threshold(
        -1, -1, 1, "cosine", "keeps more photos: a match with the exclusion gallery must be at least this close"
    )

    def __post_init__(self) -> None:
        for entry in fields(self):
            _check(entry.name, getattr(self, entry.name), "Policy")

    def canonical_json(self) -> str:
        """All thresholds as JSON: sorted keys, no spaces, whole numbers as floats; equal policies give equal text."""
        told = {name: value if isinstance(value, bool) else float(value) for name, value in asdict(self).items()}
        return json.dumps(told, sort_keys=True, separators=(",", ":"))

    def sha256(self) -> str:
        """Hash of `canonical_json`, 64 hex digits."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    def describe(self) -> list[dict[str, str]]:
        """One row per threshold for documentation and the report: name, value, unit, range, raising."""
        return [
            {
                "name": entry.name,
                "value": _shown(getattr(self, entry.name)),
                "unit": str(entry.metadata["unit"]),
                "range": "" if isinstance(entry.default, bool) else _range(entry.name),
                "raising": str(entry.metadata["raising"]),
            }
            for entry in fields(self)
        ]


_FIELDS = {entry.name: entry for entry in fields(Policy)}


def presets() -> tuple[str, ...]:
    """Names of the presets that ship with the program, sorted."""
    folder = files("curate.decide") / "policies"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_policy(name_or_path: str | Path) -> Policy:
    """Name of a preset, or path of a TOML file -> Policy. Raises PolicyError naming the file, the key and the mend."""
    values = _collect(str(name_or_path), base=Path(), seen=())
    return replace(Policy(), **values)


def _collect(name: str, base: Path, seen: tuple[str, ...]) -> dict[str, Any]:
    """Values that a preset or file sets, those that it extends beneath them."""
    if name in seen:
        raise PolicyError(f"policies extend each other in a circle: {' -> '.join((*seen, name))}; remove one `extends`")
    text, place, folder = _read(name, base)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{place}: not valid TOML: {error}") from error
    extends = table.pop("extends", None)
    if extends is not None and not isinstance(extends, str):
        raise PolicyError(f"{place}: extends = {extends!r} must be the name of a preset or a path")
    for key, value in table.items():
        _check(key, value, place)
    return (_collect(extends, folder, (*seen, name)) if extends else {}) | table


def _read(name: str, base: Path) -> tuple[str, str, Path]:
    """Text of a preset or file, how to call it in a message, and the folder that its own paths start from."""
    if name in presets():
        return (
            (files("curate.decide") / "policies" / f"{name}.toml").read_text(encoding="utf-8"),
            f"preset {name}",
            base,
        )
    path = base / name
    if not path.is_file():
        raise PolicyError(
            f"no policy {name!r}: neither a preset ({', '.join(presets())}) nor a file{_did_you_mean(name, presets())}"
        )
    try:
        return path.read_text(encoding="utf-8"), str(path), path.parent
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: not UTF-8 text; save it as UTF-8") from error


def _check(name: str, value: object, place: str) -> None:
    if name not in _FIELDS:
        hint = _did_you_mean(name, tuple(_FIELDS)) or f"; known: extends, {', '.join(_FIELDS)}"
        raise PolicyError(f"{place}: unknown key {name!r}{hint}")
    wants_switch = isinstance(_FIELDS[name].default, bool)
    if wants_switch != isinstance(value, bool) or not isinstance(value, int | float):
        kind = "true or false" if wants_switch else "a number"
        raise PolicyError(f"{place}: {name} = {value!r} must be {kind}")
    if wants_switch:
        return
    low, high = _FIELDS[name].metadata["low"], _FIELDS[name].metadata["high"]
    if not (math.isfinite(value) and low <= value <= high):
        raise PolicyError(f"{place}: {name} = {value} is out of range; give {_range(name)}")


def _range(name: str) -> str:
    metadata = _FIELDS[name].metadata
    return f"{_shown(metadata['low'])} to {_shown(metadata['high'])} {metadata['unit']}"


def _shown(value: float) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def _did_you_mean(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
