"""The program `swapset-verify`: `simswap verify` alone, for machines that only look for marks.

It imports no deep-learning framework: NumPy, OpenCV, PyAV, the photo decoders and c2pa suffice.
"""

from curate.early_signals import end_without_traceback


def main() -> None:
    """Run the program."""
    end_without_traceback()

    from curate.program import run

    run(_app, "swapset-verify", "Run the same command again.", "Free some, and run the same command with --workers 1.")


def _app() -> None:
    import typer

    from curate.commands.help import Command
    from train.commands.verifying import verify

    app = typer.Typer(
        name="swapset-verify", add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    app.command(cls=Command)(verify)
    app()


if __name__ == "__main__":
    main()
