"""Software bill of materials: `python -m docs.sbom FOLDER` lists what this environment has installed.

Written are `sbom.cdx.json` (CycloneDX 1.6, with package URLs, licences and dependencies) and `licences.md`. All comes
from the metadata of the installed distributions: nothing is fetched. Run `make sbom` in an environment of `uv.lock`.
"""

import json
import re
import sys
import uuid
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_UNKNOWN = "not declared"


def canonical(name: str) -> str:
    """The name of a distribution as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(distribution: Distribution) -> str:
    """The licence that the metadata declare: expression (PEP 639), classifiers, or the first line of the text."""
    metadata = distribution.metadata
    declared = metadata.get("License-Expression")
    if declared:
        return str(declared)
    classifiers = metadata.get_all("Classifier") or []
    names = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: ")]
    names = [name for name in names if name != "OSI Approved"]
    text = (metadata.get("License") or "").strip()
    return "; ".join(names) or (text.splitlines()[0][:80] if text else _UNKNOWN)


def bill(installed: list[Distribution]) -> dict[str, Any]:
    """The CycloneDX document; the same for the same distributions."""
    references = {canonical(item.name): f"pkg:pypi/{canonical(item.name)}@{item.version}" for item in installed}
    components, dependencies = [], []
    for item in installed:
        name = canonical(item.name)
        required = {canonical(_NAME.match(text)[0]) for text in item.requires or ()}  # type: ignore[index]
        components.append(
            {
                "type": "library",
                "bom-ref": references[name],
                "name": name,
                "version": item.version,
                "purl": references[name],
                "licenses": [{"license": {"name": licence(item)}}],
            }
        )
        needed = sorted(references[other] for other in required & references.keys())
        dependencies.append({"ref": references[name], "dependsOn": needed})
    serial = uuid.uuid5(uuid.NAMESPACE_URL, " ".join(sorted(references.values())))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "components": components,
        "dependencies": dependencies,
    }


def licences(installed: list[Distribution]) -> str:
    """A table of names, versions and licences."""
    rows = [f"| {canonical(item.name)} | {item.version} | {licence(item).replace('|', '/')} |" for item in installed]
    head = "# Licences of the installed distributions\n\n| package | version | licence |\n| --- | --- | --- |\n"
    return head + "\n".join(rows) + "\n"


def main() -> None:
    """Write both files into the folder of the first argument."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m docs.sbom FOLDER")
    folder = Path(sys.argv[1])
    by_name = {canonical(item.name): item for item in distributions()}
    installed = [by_name[name] for name in sorted(by_name)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sbom.cdx.json").write_text(json.dumps(bill(installed), indent=2) + "\n", encoding="utf-8")
    (folder / "licences.md").write_text(licences(installed), encoding="utf-8")
    unknown = [item.name for item in installed if licence(item) == _UNKNOWN]
    print(f"{len(installed)} distributions in {folder}/sbom.cdx.json and {folder}/licences.md")
    if unknown:
        print(f"no licence declared: {', '.join(unknown)}")


if __name__ == "__main__":
    main()
