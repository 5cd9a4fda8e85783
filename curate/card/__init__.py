"""Data card: a decided dataset -> a Markdown page for its publication.

In: the manifest and its footer. Out: sources, counts, what was dropped and why, coverage of pose, light and skin tone,
audits, models with licences, limits. `write_card` writes the page of a dataset, `write_export_card` that of an exported
folder, with the header that the Hugging Face hub reads. Numbers are gathered in numbers.py; the text is card.md.
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from curate.card.card import write_card, write_export_card

__all__ = ["write_card", "write_export_card"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(__name__, {"curate.card.card": ("write_card", "write_export_card")})
