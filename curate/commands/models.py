"""`curate models`: list, fetch, verify."""

from typing import Annotated

import typer

from curate.commands.progress import ProgressBar


def list_models() -> None:
    """Every network the program knows: what it does, its licence, whether its file is here."""
    from curate.faces.packs import insightface as packs
    from curate.faces.weights import REGISTRY, place

    assert packs.PACKS  # they register themselves on import

    for weights in REGISTRY.values():
        here = "here" if place(weights).is_file() else "not here"
        print(f"{weights.name:<24} {weights.task:<13} {here:<9} {weights.licence}")


def fetch(name: Annotated[str, typer.Argument(help="buffalo_l or buffalo_s.")]) -> None:
    """Download an insightface pack (non-commercial research use); its hash is recorded and checked ever after."""
    from curate.faces.packs import insightface as packs

    folder = packs.fetch(name, ProgressBar())
    print(f"{name} is in {folder}")


def verify(name: Annotated[str, typer.Argument(help="A pack, or a name from `curate models list`.")]) -> None:
    """Check the files' hashes; for a pack also that our networks compute what onnxruntime does, on real faces."""
    from curate.errors import ModelError
    from curate.faces.packs.insightface import PACKS
    from curate.faces.weights import REGISTRY, file_sha256, locate

    if name in PACKS:
        from curate.faces.packs.parity import verify as compare

        rows = compare(name)
        for row in rows:
            print(row)
        if not all(row.agrees for row in rows):
            raise ModelError(f"{name}: our networks differ from onnxruntime on these files; please report it")
        return
    if name not in REGISTRY:
        raise ModelError(f"no model is called {name!r}; `curate models list` shows all")
    path = locate(REGISTRY[name])
    print(f"{name}: {path}, sha256 {file_sha256(path)}")
