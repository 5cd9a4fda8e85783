"""The program `simswap`: handles signals before it imports its commands, which are in `train/application.py`."""

from curate.early_signals import end_without_traceback

TYPE_CHECKING = False  # that of `typing` takes a few milliseconds, in which Ctrl-C would print a traceback
if TYPE_CHECKING:
    from types import ModuleType

    from train.application import EXIT_CODES, app

__all__ = ["EXIT_CODES", "app", "main"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_application(), name)


def _application() -> "ModuleType":
    import train.application

    return train.application


def main() -> None:
    """Run the program."""
    end_without_traceback()

    from curate.program import run

    interrupted = "What is finished is kept; run the same command again to continue."
    out_of_memory = "Free some and run the same command again; or fit with a larger --accumulate in another --out."
    run(lambda: _application().app(), "simswap", interrupted, out_of_memory)


if __name__ == "__main__":
    main()
