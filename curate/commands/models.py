"""`curate models`: list, fetch, verify."""

from typing import Annotated

import typer

from curate.commands.progress import ProgressBar


def list_models() -> None:
    """List all networks.

    Prints task, whether the file is on this machine, and licence.
    """
    from curate.faces.packs import insightface as packs
    from curate.faces.weights import REGISTRY, place

    assert packs.PACKS  # packs are registered when the module is imported

    for weights in REGISTRY.values():
        state = "present" if place(weights).is_file() else "missing"
        print(f"{weights.name:<24} {weights.task:<13} {state:<9} {weights.licence}")


def fetch(name: Annotated[str, typer.Argument(help="buffalo_l or buffalo_s.")]) -> None:
    """Download an insightface pack (non-commercial research use only).

    The hashes of its files are recorded and checked at every use.

    Example: curate models fetch buffalo_l
    """
    from curate.faces.packs import insightface as packs

    folder = packs.fetch(name, ProgressBar())
    print(f"{name}: {folder}")


def verify(name: Annotated[str, typer.Argument(help="A pack, or a name from `curate models list`.")]) -> None:
    """Check the hashes of a model's files.

    The networks of a pack are also compared with onnxruntime, on real faces.

    Example: curate models verify buffalo_l
    """
    from curate.errors import ModelError
    from curate.faces.packs.insightface import PACKS
    from curate.faces.weights import REGISTRY, file_sha256, locate

    if name in PACKS:
        from curate.faces.packs.parity import verify as compare

        rows = compare(name)
        for row in rows:
            print(row)
        if not all(row.agrees for row in rows):
            raise ModelError(f"{name}: the networks differ from onnxruntime on these files; please report it")
        return
    if name not in REGISTRY:
        raise ModelError(f"no model is called {name!r}; `curate models list` shows all")
    path = locate(REGISTRY[name])
    print(f"{name}: {path}, sha256 {file_sha256(path)}")
