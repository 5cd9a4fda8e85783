"""What `bench.fuzz` feeds with mutated files: seeds made by code, a reader, and the errors that are its answer."""

import csv
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bench.fuzz_photos import bmps, gifs, jpegs, others, photo, picture, pngs, tiffs, webps
from curate.errors import SwapsetError


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        seeds: returns intact files.
        name: of the file that is read.
        read: reads the file at a path; any exception but `errors` is a find.
        errors: its documented errors.
    """

    seeds: Callable[[], list[bytes]]
    name: str
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...] = (SwapsetError,)


def decode_photo(path: Path) -> None:
    """Decode as curation and swapping do, and write the photo again."""
    from curate.decode import decode
    from curate.decode.boundary import decoder_errors
    from curate.decode.inflate import inflate_png
    from train.swap.photo_files.reader import read_photo

    data = path.read_bytes()
    with decoder_errors():
        inflate_png(data, 50_000_000)
    decode(data, shrink=True)
    read = read_photo(data)
    with decoder_errors("encoder"):
        read.encode(read.pixels)


def members() -> list[tuple[str, bytes]]:
    """Photos and others of an archive."""
    jpeg = photo("JPEG")
    return [("a/1.jpg", jpeg), ("a/2.png", photo("PNG")), ("b/é.jpg", jpeg), ("b/x.txt", b"text"), ("../out.jpg", jpeg)]


def zips() -> list[bytes]:
    files = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, data in members():
                archive.writestr(name, data)
        files.append(file.getvalue())
    return files


def tars() -> list[bytes]:
    files = []
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
            for name, data in [*members(), ("c/" + "n" * (80 if kind == tarfile.USTAR_FORMAT else 200) + ".jpg", b"x")]:
                header = tarfile.TarInfo(name)
                header.size = len(data)
                archive.addfile(header, io.BytesIO(data))
            link = tarfile.TarInfo("a/link.jpg")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
        files.append(file.getvalue())
    return files


def packs() -> list[bytes]:
    records = b""
    for key, (_, data) in enumerate(members()):
        body = struct.pack("<IfQQ", 0, key % 2, key, 0) + data
        records += struct.pack("<II", 0xCED7230A, len(body)) + body + bytes(-len(body) % 4)
    return [records]


def parquets() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = []
    for compression in ("none", "snappy", "zstd"):
        images = [{"bytes": data, "path": name} for name, data in members()]
        file = io.BytesIO()
        pq.write_table(pa.table({"image": images, "label": [0, 0, 1, 1, 1]}), file, compression=compression)
        files.append(file.getvalue())
    return files


def read_source(path: Path) -> None:
    """List and read a source as `curate measure` does."""
    from curate.sources import open_source

    source = open_source("folder", path, "first")
    for identity in source.identities():
        for entry in source.entries(identity):
            if entry.refusal is None:
                try:
                    source.read(entry)
                except SwapsetError:
                    continue


def infos() -> list[bytes]:
    from manifests.layout import ChoiceRecord, DatasetInfo, EmbedderRecord, ModelsRecord, SettingsRecord, SourceRecord

    info = DatasetInfo(
        SourceRecord("folder", "/photos", limit=5, ignored={".txt": 3}, identities="first"),
        SettingsRecord("simswap-224", max_pixels=50_000_000, revision=4),
        ModelsRecord(EmbedderRecord("e", "sample"), "d", "s", ChoiceRecord("builtin", "/net.onnx")),
        buckets=16,
    )
    return [json.dumps(asdict(info), indent=1).encode()]


def read_info(path: Path) -> None:
    from manifests.layout import read_info as read

    read(path.parent)


def calibrations() -> list[bytes]:
    import curate

    return [(Path(curate.__file__).parent / "weights/sharpness.json").read_bytes()]


def policies() -> list[bytes]:
    import curate.decide

    return [path.read_bytes() for path in (Path(curate.decide.__file__).parent / "policies").glob("*.toml")]


def recipes() -> list[bytes]:
    import train

    return [path.read_bytes() for path in (Path(train.__file__).parent / "recipes").glob("*.toml")]


def overrides() -> list[bytes]:
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerows([("image_id", "verdict", "note"), ("a/1.jpg", "keep", "x, y"), ("'=b/é.jpg", "drop", '"quoted"')])
    return [file.getvalue().encode(), "\ufeffimage_id,verdict\r\na,KEEP\r\n".encode()]


def videos() -> list[bytes]:
    import av

    files = []
    for format, codec in (
        ("mp4", "libx264"),
        ("matroska", "libx264"),
        ("webm", "libvpx"),
        ("avi", "mpeg4"),
        ("mpegts", "mpeg2video"),
    ):
        file = io.BytesIO()
        with av.open(file, "w", format=format) as container:
            stream = container.add_stream(codec, rate=25)
            assert isinstance(stream, av.VideoStream)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for seed in range(3):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(64, seed), format="rgb24")))
            container.mux(stream.encode())
        files.append(file.getvalue())
    return files


def read_video(path: Path) -> None:
    from train.marks.media import open_media

    for _ in open_media(path, "video").frames():
        pass


def networks() -> list[bytes]:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, [1, 3, 16, 16])], [value("y", TensorProto.FLOAT, [1, 4])], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    return [model.SerializeToString()]


def read_network(path: Path) -> None:
    from curate.faces.onnx.graph import OnnxGraph

    OnnxGraph(path)


def _photos(seeds: Callable[[], list[bytes]]) -> Target:
    return Target(seeds, "photo", decode_photo)


def _policy(path: Path) -> None:
    from curate.decide.policy import load_policy

    load_policy(str(path))


def _recipe(path: Path) -> None:
    from train.config import load_recipe

    load_recipe(path)


def _calibration(path: Path) -> None:
    from curate.measure.sharpness import load_calibration

    load_calibration(path)


def _overrides(path: Path) -> None:
    from curate.overrides import read_overrides

    read_overrides(path)


TARGETS: dict[str, Target] = {
    "jpeg": _photos(jpegs),
    "png": _photos(pngs),
    "gif": _photos(gifs),
    "webp": _photos(webps),
    "bmp": _photos(bmps),
    "tiff": _photos(tiffs),
    "heif-avif-jxl": _photos(others),
    "zip": Target(zips, "photos.zip", read_source),
    "tar": Target(tars, "photos.tar", read_source),
    "recordio": Target(packs, "photos.rec", read_source),
    "parquet": Target(parquets, "photos.parquet", read_source),
    "dataset.json": Target(infos, "dataset.json", read_info),
    "calibration": Target(calibrations, "own.json", _calibration),
    "policy": Target(policies, "own.toml", _policy),
    "recipe": Target(recipes, "own.toml", _recipe),
    "overrides": Target(overrides, "overrides.csv", _overrides),
    "video": Target(videos, "clip.mp4", read_video),
    "onnx": Target(networks, "net.onnx", read_network),
}
