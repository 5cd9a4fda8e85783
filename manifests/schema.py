"""The columns of a curated dataset: type, unit, and the meaning of a null.

Five tables:

- `MEASURES`   one row per face, and one per photo without a face: measurements and errors
- `FACES`      one row per face: the aligned crop and its label map
- embeddings   one row per face and embedder (`embeddings_schema`)
- `RELATIONS`  one row per measured row: similarities to identity centroids, nearest other identity, duplicate groups
- `MANIFEST`   one row per source photo: the verdict, its reasons, the measurements behind it, offsets of the pixels

Each value is stored in one of the first four tables; `MANIFEST` collects those of every photo's main face. The types
survive pandas: 64-bit hashes are hex strings, and integer columns with nulls carry the metadata that makes pandas read
them as `Int64` and `Int32` instead of floats.
"""

import json
from dataclasses import dataclass

import pyarrow as pa

from manifests.identity import NO_IDENTITY as NO_IDENTITY

SCHEMA_VERSION = 4
"""Incremented when a column changes its meaning or disappears; a reader refuses every other version."""

REASONS = (
    "undecodable",
    "no_face",
    "too_small",
    "cut_off",
    "occluded",
    "blurred",
    "soft",
    "stretched",
    "corrupt_pixels",
    "too_dark",
    "too_bright",
    "other_person",
    "uncertain_person",
    "second_person",
    "mixed_identity",
    "duplicate",
    "near_duplicate",
    "excluded",
)
"""Closed vocabulary of `reasons`, in the order in which a row lists them."""

MAX_FACES = 4
"""Faces measured per photo, largest first."""


@dataclass(frozen=True)
class Column:
    """One column. null: the meaning of a missing value; empty for a column that is never null."""

    name: str
    dtype: pa.DataType
    meaning: str
    unit: str = ""
    null: str = ""

    def field(self) -> pa.Field:
        texts = {"meaning": self.meaning, "unit": self.unit, "null": self.null}
        metadata = {key: text for key, text in texts.items() if text}
        # `datasets` recognises an image in a nullable column only; `FacesWriter` refuses a face without pixels.
        return pa.field(self.name, self.dtype, nullable=bool(self.null) or self.dtype == _IMAGE, metadata=metadata)


_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
_NO_FACE = "no face was detected, or the photo could not be decoded"
_UNDECODED = "the photo could not be decoded"


def _floats(rows: list[tuple[str, str, str]], null: str = _NO_FACE) -> tuple[Column, ...]:
    return tuple(Column(name, pa.float32(), meaning, unit, null) for name, unit, meaning in rows)


_KEYS = (
    Column("image_id", pa.string(), "path of the photo inside the source, '/' between parts"),
    Column("identity", pa.string(), "person that the photo is of, '.' for none; in relations and manifest as overrides.csv corrects the source"),
)  # fmt: skip
_SPLIT = Column("split", pa.string(), "'train', 'test' or 'val'", null="the source has no splits")
_FACE_ID = Column("face_id", pa.string(), "image_id#k, k counting the photo's faces from the largest", null=_NO_FACE)

FILE = (
    Column("error", pa.string(), "why the photo could not be read", null="it was decoded"),
    Column("file_size", pa.int64(), "size of the file", "bytes"),
    Column("mtime_ns", pa.int64(), "modification time of the file", "ns since 1970"),
    Column("listing_key", pa.string(), "hash of what the source lists about the photo: path, identity, size, time, split, landmarks, box; 16 hex digits. Rows with the current one are taken over when a shard is written again"),
    Column("sha256", pa.string(), "hash of the file's bytes, hex", null="the bytes could not be read"),
    Column("format", pa.string(), "encoding of the file: JPEG, PNG, WEBP, ...", null=_UNDECODED),
    Column("jpeg_step", pa.float32(), "mean step to which the file's own JPEG table rounds the low frequencies of the luma; below `quantisation`, the photo was saved again", "levels", "the file is no JPEG of one or three channels, or could not be decoded"),
    Column("width", pa.int32(), "width after EXIF orientation", "px", _UNDECODED),
    Column("height", pa.int32(), "height after EXIF orientation", "px", _UNDECODED),
    Column("shrink", pa.int16(), "px of the file per px of width, height and all coordinates; above 1 where a JPEG exceeds --max-pixels", "ratio", _UNDECODED),
)  # fmt: skip
"""The file of a photo and its decoding."""

PHOTO_NUMBERS = (
    Column("phash", pa.string(), "64-bit DCT perceptual hash of the whole photo, 16 hex digits", null=_UNDECODED),
    Column("phash_mirror", pa.string(), "the same of the mirrored photo", null=_UNDECODED),
    Column("flat_rows", pa.float32(), "share of the photo's rows, from the bottom, that hold one colour", "0-1", _UNDECODED),
    Column("blockiness", pa.float32(), "step across the 8 px JPEG grid over the step elsewhere, less 1", "ratio", _UNDECODED),
    Column("resolution", pa.float32(), "share of the photo's px along each axis that carries detail; an enlarged photo has less", "0-1", _UNDECODED + ", or is smaller than 32 px"),
    Column("border", pa.float32(), "share of the photo's area in rows and columns of one colour at its sides", "0-1", _UNDECODED),
    Column("quantisation", pa.float32(), "step to which a JPEG coder rounded the low frequencies of the luma, also before it was saved again; 1 is none", "levels", _UNDECODED + ", or has fewer than 16 blocks of 8 px"),
    Column("edge_grid", pa.binary(), "strength of edges, of the strongest of red, green and blue, in 16 x 16 cells of the photo, a byte each; copies are compared by it", "1/4 level", _UNDECODED),
    Column("corruption", pa.float32(), "lower confidence bound of the share of the JPEG grid's edges that are torn", "0-1", _UNDECODED),
)  # fmt: skip
"""Columns of the photo measures (curate/measure/table.py)."""

PHOTO = (
    *FILE,
    *PHOTO_NUMBERS,
    Column("face_count", pa.int8(), f"faces detected, at most {MAX_FACES}"),
    Column("turn", pa.int16(), "clockwise turn of 0, 90, 180 or 270 that makes the photo upright after EXIF", "degrees", _UNDECODED),
    Column("landmarks_rejected", pa.string(), "why landmarks of the source were not used", null="they were used, or there are none"),
)  # fmt: skip
"""Columns of a photo, with or without a face."""

BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
"""Columns of the face box."""

_LANDMARKS = {
    f"{point}_{axis}": f"{axis} of {meaning} in the photo"
    for point, meaning in {
        "left_eye": "the eye on the image's left",
        "right_eye": "the eye on the image's right",
        "nose": "the nose tip",
        "left_mouth": "the mouth corner on the image's left",
        "right_mouth": "the mouth corner on the image's right",
    }.items()
    for axis in "xy"
}
LANDMARKS = tuple(_LANDMARKS)
"""Columns of the five landmarks: x and y of each, in the order of `manifests.landmarks`."""

FACE_NUMBERS = (
    Column("detection_score", pa.float32(), "the detector's confidence", "0-1", null=_NO_FACE + ", or the source supplied the face"),
    Column("landmark_source", pa.string(), "'detector', or 'source' where its own landmarks were used", null=_NO_FACE),
    *_floats([
        ("box_x0", "px", "left edge of the face box in the photo"),
        ("box_y0", "px", "top edge"),
        ("box_x1", "px", "right edge"),
        ("box_y1", "px", "bottom edge"),
        *((name, "px", meaning) for name, meaning in _LANDMARKS.items()),
        ("eye_distance", "source px", "distance between the eyes"),
        ("upscale", "crop px per source px", "scale of the crop relative to the photo; above 1 the crop is interpolated"),
        ("inside", "0-1", "share of the crop inside the photo"),
        ("yaw", "degrees", "head turned towards the image's right: positive"),
        ("pitch", "degrees", "head raised: positive"),
        ("roll", "degrees", "head tilted clockwise in the image: positive"),
        ("stretch", "ratio", "height over width of the face relative to an undistorted face of that pose; 1 is undistorted, null beyond 30 degrees of yaw"),
        ("stretch_error", "log", "standard deviation of log stretch that the error of the landmarks causes"),
        ("sharpness", "0-1", "fused score that the face is sharp for its size; 0.5 is the calibrated boundary"),
        ("fine_ratio", "log10", "energy of detail between sigma 1 and 2 px over that between 2 and 4 px, of the logarithm of the luma, less the noise, inside the face"),
        ("edge_ratio_min", "log10", "energy of edges smoothed by sigma 1 px over that at 2 px, of the logarithm of the luma, less the noise, minimum over directions; low in motion blur"),
        ("detail_octaves", "octaves", "log2 of the share of the pixels of the 224 px crop, along each axis, that carry detail, inside the face; 0 is all of them"),
        ("noise", "levels", "standard deviation of the noise of the crop, from the flattest parts of the face"),
        ("brightness", "0-255", "median luma of the face"),
        ("contrast", "0-255", "95th minus 5th percentile of the luma of the face"),
        ("local_contrast", "levels", "standard deviation of the luma within 16 px, root mean square over the face"),
        ("clipped_dark", "0-1", "share of face pixels at black"),
        ("clipped_bright", "0-1", "share of face pixels at white"),
        ("colourfulness", "levels", "colourfulness of the crop by Hasler and Süsstrunk 2003; 0 is grey, 30-60 are usual"),
        ("flat_fraction", "0-1", "share of the face that is one constant colour, as undecoded areas are"),
        ("face_share", "0-1", "share of the crop with a class of the face in the label map"),
    ]),
    *_floats([
        ("eyes_covered", "0-1", "share of the zones around both eyes under hair, a hat, a hand or another object"),
        ("mouth_covered", "0-1", "share of the zone around the mouth under a hand, a mask, a microphone or another object"),
        ("sunglasses", "0-1", "share of the zones around the eyes under glasses, times the darkness of the lenses"),
    ], _NO_FACE + ", or the photo does not show that part of it"),
    Column("ita", pa.float32(), "individual typology angle of the skin (light skin is high)", "degrees", _NO_FACE + ", or greyscale"),
    Column("face_phash", pa.string(), "64-bit DCT perceptual hash of the aligned crop, 16 hex digits", null=_NO_FACE),
)  # fmt: skip
"""Columns of the face measures (curate/measure/table.py)."""

_PIXELS = (
    Column("shard", pa.string(), "file in `faces/` with the crop and the mask", null=_NO_FACE),
    Column("crop_offset", pa.int64(), "offset of the crop's JPEG in the shard", "bytes", _NO_FACE),
    Column("crop_length", pa.int32(), "length of the crop's JPEG", "bytes", _NO_FACE),
    Column("crop_crc", pa.int64(), "CRC-32 of the crop's JPEG", null=_NO_FACE),
    Column("mask_offset", pa.int64(), "offset of the label map's PNG in the shard", "bytes", _NO_FACE),
    Column("mask_length", pa.int32(), "length of the label map's PNG", "bytes", _NO_FACE),
    Column("mask_crc", pa.int64(), "CRC-32 of the label map's PNG", null=_NO_FACE),
)

MEASURES = (*_KEYS, _SPLIT, _FACE_ID, *PHOTO, *FACE_NUMBERS, *_PIXELS)

FACES = (
    *_KEYS,
    Column("face_id", pa.string(), "image_id#k, k counting the photo's faces from the largest"),
    Column("matrix", pa.list_(pa.float64(), 6), "photo -> crop, rows of the 2x3 matrix", "px"),
    Column("crop", _IMAGE, "aligned face, JPEG quality 95 4:4:4"),
    Column("mask", _IMAGE, "19-class CelebAMask label map on the crop's grid, 8-bit PNG"),
)

_LONE = "no face, no other photo of the identity to compare with, or overrides.csv moved the photo after `relate`"
VERDICTS = ("keep", "review", "drop")
"""Values of `verdict`."""

RELATIONS = (
    *_KEYS,
    _FACE_ID,
    Column("main", pa.bool_(), "whether this row represents its photo in the manifest"),
    Column("own_similarity", pa.float32(), "cosine to the centroid of its identity, leave-one-out", "cosine", _LONE),
    Column("nearest_identity", pa.string(), "other identity with the nearest centroid", null="no face, or no other identity"),
    Column("nearest_similarity", pa.float32(), "cosine to that centroid", "cosine", "no face, or no other identity"),
    Column("margin", pa.float32(), "own_similarity - nearest_similarity", "cosine", "either of them is null"),
    Column("identity_size", pa.int32(), "faces that contribute to the identity's centroid", null="no face"),
    Column("identity_cohesion", pa.float32(), "median own_similarity of the identity", "cosine", _LONE),
    Column("identity_purity", pa.float32(), "share of the identity's faces that are of the person at its centroid", "0-1", _LONE),
    Column("wrong_person", pa.float32(), "probability that the face is of another person than its identity", "0-1", _LONE),
    Column("suggested_identity", pa.string(), "other identity that the face clearly matches", null="none"),
    Column("same_person_as", pa.string(), "other identity whose centroid is of the same person", null="none"),
    Column("person_group", pa.int8(), "1 or 2 where the identity shows two persons: which of them; 1 is the person at its centroid", null="the identity does not, no face, or neither person"),
    Column("duplicate_group", pa.int64(), "number of the group of photos that show the same picture", null="no duplicate"),
    Column("copy_rank", pa.int32(), "place of the photo in its duplicate group, 0 for the best original", null="no duplicate"),
    Column("copy_flaw", pa.string(), "what the photo is relative to the best of its duplicate group: 'enlarged', 'smaller', 'soft', 'bordered', 'drawn over', 'recompressed', 'saved again', 'cropped' or 'no face'", null="no duplicate, the best of its group, or an equal one"),
    Column("excluded_by", pa.string(), "reference photo of the exclusion gallery that it matches", null="no match"),
    Column("excluded_similarity", pa.float32(), "cosine to that reference", "cosine", "no gallery, or no face"),
)  # fmt: skip

SHARPNESS_LIMIT = Column(
    "sharpness_limit",
    pa.float32(),
    "sharpness below which the face counts as blurred: the policy's, or that of the photos of its size",
    "0-1",
    _NO_FACE,
)

VERDICT = (
    Column("keep", pa.bool_(), "whether training and exports use the photo: verdict 'keep', or 'review' where the policy's keep_review is set"),
    Column("verdict", pa.dictionary(pa.int8(), pa.string()), "'keep', 'review' (a person should look at it) or 'drop'"),
    Column("verdict_source", pa.dictionary(pa.int8(), pa.string()), "'policy', or 'override' where a human decided"),
    Column("reasons", pa.list_(pa.string()), "every reason that applies, in the order of REASONS; empty where the policy keeps it"),
    Column("duplicate_of", pa.string(), "image_id of the photo that the group keeps", null="no duplicate, or the photo that the group keeps"),
    Column("duplicate_kind", pa.string(), "'exact' (same bytes) or 'near'", null="no duplicate, or the photo that the group keeps"),
    SHARPNESS_LIMIT,
)  # fmt: skip

NOT_IN_MANIFEST = ("listing_key", "edge_grid", "main", "duplicate_group", "copy_rank")
"""Columns of measures and relations that serve the steps before the manifest alone."""

_KEY_NAMES = ("image_id", "identity", "face_id")
_PHOTO = tuple(column for column in PHOTO if column.name not in NOT_IN_MANIFEST)
_RELATED = tuple(column for column in RELATIONS if column.name not in {*_KEY_NAMES, *NOT_IN_MANIFEST})
_SOURCE_IDENTITY = Column("source_identity", pa.string(), "person that the source assigns the photo to, '.' for none")
MANIFEST = (*_KEYS, _SOURCE_IDENTITY, _SPLIT, *VERDICT, *_RELATED, _FACE_ID, *_PHOTO, *FACE_NUMBERS, *_PIXELS)

TABLES = {"measures": MEASURES, "faces": FACES, "relations": RELATIONS, "manifest": MANIFEST}


def arrow_schema(table: str, metadata: dict[str, str] | None = None) -> pa.Schema:
    """Return the Arrow schema of a table of `TABLES`, with schema version, reader hints and `metadata`."""
    return _with_metadata(pa.schema([column.field() for column in TABLES[table]]), table, metadata)


def embeddings_schema(dim: int, metadata: dict[str, str] | None = None) -> pa.Schema:
    """Return the schema of `embeddings/<embedder_id>/`: keys and a unit vector of `dim` float16."""
    columns = (
        *_KEYS,
        Column("face_id", pa.string(), "image_id#k, k counting the photo's faces from the largest"),
        Column("embedding", pa.list_(pa.float16(), dim), "unit vector of the face"),
    )
    return _with_metadata(pa.schema([column.field() for column in columns]), "embeddings", metadata)


def _with_metadata(schema: pa.Schema, table: str, metadata: dict[str, str] | None) -> pa.Schema:
    images = {name: {"_type": "Image"} for name in schema.names if schema.field(name).type == _IMAGE}
    texts = {"swapset.table": table, "swapset.schema_version": str(SCHEMA_VERSION)} | (metadata or {})
    if images:
        # `datasets` requires the feature of every column once the key is present.
        features = {name: images.get(name) or _hf_feature(schema.field(name).type) for name in schema.names}
        texts["huggingface"] = json.dumps({"info": {"features": features}}, sort_keys=True)
    texts["pandas"] = _pandas_metadata(schema)
    return schema.with_metadata(texts)


def _pandas_metadata(schema: pa.Schema) -> str:
    """Describe integer columns that may be null, which pandas would otherwise read as float64, as nullable integers.

    Format: https://pandas.pydata.org/docs/development/developer.html
    """
    columns = [
        {
            "name": field.name,
            "field_name": field.name,
            "pandas_type": str(field.type),
            "numpy_type": str(field.type).replace("int", "Int"),
            "metadata": None,
        }
        for field in schema
        if field.nullable and pa.types.is_integer(field.type)
    ]
    described = {"index_columns": [], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    return json.dumps(described, sort_keys=True)


def _hf_feature(dtype: pa.DataType) -> dict[str, object]:
    if pa.types.is_fixed_size_list(dtype):
        return {"feature": _hf_feature(dtype.value_type), "length": dtype.list_size, "_type": "List"}
    names = {"float": "float32", "double": "float64", "halffloat": "float16"}
    return {"dtype": names.get(str(dtype), str(dtype)), "_type": "Value"}
