"""Static pages: a template and the style sheet that all pages share; they open from disk, without network or script."""

from importlib.resources import files
from typing import Any

from curate.counts import counted


def render(package: str, template: str, **values: Any) -> str:
    """Return the page of a template, which is a file of `package`; values are escaped. `style` is the style sheet."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["counted"] = counted
    text = (files(package) / template).read_text(encoding="utf-8")
    style = (files("curate.report") / "style.css").read_text(encoding="utf-8")
    return environment.from_string(text).render(style=style, **values)
