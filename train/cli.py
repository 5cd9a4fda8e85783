"""The program `simswap`: handles signals before it imports its commands, which are in `train/application.py`."""

from importlib import import_module
from typing import TYPE_CHECKING

from curate.lazy import lazy_exports
from curate.program import run

if TYPE_CHECKING:
    from train.application import EXIT_CODES, app

__all__ = ["EXIT_CODES", "app", "main"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(__name__, {"train.application": ("EXIT_CODES", "app")})


def main() -> None:
    """Run the program."""
    interrupted = "What is finished is kept; run the same command again to continue."
    out_of_memory = "Free some and run the same command again; or fit with a larger --accumulate in another --out."
    run(lambda: import_module("train.application").app(), "simswap", interrupted, out_of_memory)


if __name__ == "__main__":
    main()
