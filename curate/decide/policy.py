"""Policies by name or file. `Policy()` is the preset `default`; the others are TOML files in `policies/`.

    extends = "default"      # a preset or a file; keys that are not set keep its values
    min_sharpness = 0.6

Photos are measured once; deciding by another policy takes seconds (`curate decide --policy FILE`).
"""

from pathlib import Path

from curate.decide.rules import Policy
from curate.typed_toml import Presets

POLICIES = Presets(Policy, noun="policy", package="curate.decide", folder="policies", default="default")


def load_policy(name_or_path: str | Path) -> Policy:
    """Read the preset or the TOML file `name_or_path`.

    Raises PolicyError with the file, the key and a remedy.
    """
    return POLICIES.load(name_or_path)
