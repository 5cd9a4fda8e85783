"""The bill of materials names what is installed, its licences and dependencies."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tests.conftest import ROOT


def test_the_bill_lists_installed_distributions(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "docs.sbom", str(tmp_path)], cwd=ROOT, check=True)
    bill = json.loads((tmp_path / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    components = {component["name"]: component for component in bill["components"]}
    assert components["pillow"]["purl"] == f"pkg:pypi/pillow@{version('pillow')}"
    assert components["pillow"]["licenses"][0]["license"]["name"] == "MIT-CMU"
    needs = {entry["ref"]: entry["dependsOn"] for entry in bill["dependencies"]}
    assert components["numpy"]["bom-ref"] in needs[components["imagecodecs"]["bom-ref"]]
    assert set().union(*needs.values()) <= {component["bom-ref"] for component in bill["components"]}
    assert f"| pillow | {version('pillow')} | MIT-CMU |" in (tmp_path / "licences.md").read_text()
