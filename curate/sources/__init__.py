"""Sources: photo collections as lists of photos and their bytes. Nothing is decoded here.

A source is a store and a layout. A store lists files and reads their bytes (`stores/`: a directory, a tar, ...); a
layout states what a path means: identity, split, landmarks (`layouts/`). Every layout works on every store.

To add a store or a layout, write one file and add an entry to `stores.STORES` or `layouts.LAYOUTS`.
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from curate.sources.entry import PHOTO_EXTENSIONS, Entry, decode_name, encode_name, is_photo
    from curate.sources.source import Source, open_source

__all__ = ["PHOTO_EXTENSIONS", "Entry", "Source", "decode_name", "encode_name", "is_photo", "open_source"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(
        __name__,
        {
            "curate.sources.entry": ("PHOTO_EXTENSIONS", "Entry", "decode_name", "encode_name", "is_photo"),
            "curate.sources.source": ("Source", "open_source"),
        },
    )
