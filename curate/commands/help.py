"""`--help` of the programs: commands under headings, and examples that can be copied."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

_EXAMPLE = "Example: "


class Command(TyperCommand):
    """A command whose example is one line, which a terminal wraps without hyphens or indents inside of a path."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        text, _, example = (self.help or "").partition(f"\n\n{_EXAMPLE}")
        whole = self.help
        try:
            self.help = text
            super().format_help_text(ctx, formatter)
        finally:
            self.help = whole
        if example:
            formatter.write(f"\n  {_EXAMPLE}{' '.join(example.split())}\n")


class Group(TyperGroup):
    """A program, or a command of several forms: a heading for each `rich_help_panel` of its commands, in their order.

    Summaries are wrapped, not cut.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        headings: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            heading = getattr(command, "rich_help_panel", None)
            rows = headings.setdefault(heading if isinstance(heading, str) else "Commands", [])
            rows.append((name, command.get_short_help_str(limit=1000)))
        width = max(len(name) for name in self.commands)
        for heading, rows in headings.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in rows])
