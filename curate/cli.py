"""The program `curate`: handles signals before it imports its commands, which are in `curate/application.py`."""

from curate.early_signals import end_without_traceback

TYPE_CHECKING = False  # that of `typing` takes a few milliseconds, in which Ctrl-C would print a traceback
if TYPE_CHECKING:
    from types import ModuleType

    from curate.application import EXIT_CODES, app

__all__ = ["EXIT_CODES", "app", "main"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_application(), name)


def _application() -> "ModuleType":
    import curate.application

    return curate.application


def main() -> None:
    """Run the program."""
    end_without_traceback()

    from curate.program import run

    kept = "What is finished is kept; run the same command again"
    with_less_memory = f"{kept} with fewer --workers, or with --device cpu."
    run(lambda: _application().app(), "curate", f"{kept} to continue.", with_less_memory)


if __name__ == "__main__":
    main()
