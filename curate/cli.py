"""The program `curate`: handles signals before it imports its commands, which are in `curate/application.py`."""

from importlib import import_module
from typing import TYPE_CHECKING

from curate.lazy import lazy_exports
from curate.program import run

if TYPE_CHECKING:
    from curate.application import EXIT_CODES, app

__all__ = ["EXIT_CODES", "app", "main"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(__name__, {"curate.application": ("EXIT_CODES", "app")})


def main() -> None:
    """Run the program."""
    kept = "What is finished is kept; run the same command again"
    with_less_memory = f"{kept} with fewer --workers, or with --device cpu."
    run(lambda: import_module("curate.application").app(), "curate", f"{kept} to continue.", with_less_memory)


if __name__ == "__main__":
    main()
