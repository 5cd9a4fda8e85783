"""Swapset's data side: photos -> measured faces -> relations -> a manifest with verdicts and reasons.

`clean` does it all; its steps are the packages `curate.measure`, `curate.relate`, `curate.decide` and `curate.report`,
each with a function `run`.

    import curate
    request = curate.MeasureRequest(layout="vggface2", root=Path("VGGFace2"), out=Path("curated/vggface2"))
    cleaned = curate.clean(request)
"""

from curate.lazy import lazy_exports

TYPE_CHECKING = False  # that of `typing` takes milliseconds, in which Ctrl-C would print a traceback (curate/cli.py)
if TYPE_CHECKING:
    from curate.cleaning import Cleaned, clean
    from curate.listener import SILENT, Listener
    from curate.measure.request import MeasureRequest

__all__ = ["SILENT", "Cleaned", "Listener", "MeasureRequest", "clean"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(
        __name__,
        {
            "curate.cleaning": ("Cleaned", "clean"),
            "curate.listener": ("SILENT", "Listener"),
            "curate.measure.request": ("MeasureRequest",),
        },
    )
