"""Layouts: what the paths of a collection mean. Each works on every store. Imports nothing heavy."""

from curate.sources.layouts.folder import Folder
from curate.sources.layouts.layout import Layout
from curate.sources.layouts.sjtu import Sjtu
from curate.sources.layouts.vggface2 import VggFace2

__all__ = ["LAYOUTS", "Layout"]

LAYOUTS: dict[str, type[Layout]] = {"vggface2": VggFace2, "sjtu": Sjtu, "folder": Folder}
"""Name, as on the command line and in `dataset.json` -> class."""
