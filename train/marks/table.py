"""The table of marks. To add a mark, write its class in a file of its own and add it to `MARKS`."""

from train.marks.credentials.mark import ContentCredentials
from train.marks.label import VisibleLabel
from train.marks.mark import Mark
from train.marks.metadata.mark import AigcMetadata
from train.marks.watermark.mark import InvisibleWatermark

MARKS: tuple[type[Mark], ...] = (
    InvisibleWatermark,
    VisibleLabel,
    AigcMetadata,
    ContentCredentials,
)
"""In the order of application. Content credentials come last: their signature covers the whole file."""
