"""Photo files: decoded to pixels for swapping, and encoded again in their own format.

Kept: format, size, EXIF with its orientation (the pixels are stored rotated as they were) but without its thumbnail and
GPS location, colour profile, resolution, alpha and bit depth. Pixel values are not converted between colour spaces: the
networks take them as sRGB. XMP, PNG texts and content credentials of the original are carried over by the marks
(`train.marks.metadata.provenance`, `train.marks.credentials`). To add a format, write its reader in a file of its own
and add it to `reader.READERS`; it must be among the photo formats of `train.marks.containers`.
"""
