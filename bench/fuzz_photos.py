"""Photos of every format that is read, made by code: the seeds of `bench.fuzz`."""

import io

import numpy as np
import numpy.typing as npt

from bench import bombs


def picture(side: int = 48, seed: int = 0) -> npt.NDArray[np.uint8]:
    """A smooth picture with noise, uint8 (side, side, 3)."""
    y, x = np.mgrid[0:side, 0:side]
    base = np.stack([128 + 90 * np.sin(x / 5), 128 + 90 * np.cos(y / 7), (x + y) * 255 / (2 * side)], -1)
    noise = np.random.default_rng(seed).normal(0, 6, base.shape)
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def photo(format: str, mode: str = "RGB", **options: object) -> bytes:
    """`picture` as a file of Pillow."""
    from PIL import Image

    file = io.BytesIO()
    image = Image.fromarray(picture()).convert(mode)
    image.save(file, format, **options)
    return file.getvalue()


def _exif() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def _profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes().replace(b"sRGB", b"Else")


def jpegs() -> list[bytes]:
    options = [
        {},
        {"progressive": True},
        {"subsampling": 0, "exif": _exif()},
        {"icc_profile": _profile()},
        {"restart_marker_rows": 1},
    ]
    files = [photo("JPEG", mode, **option) for mode in ("RGB", "L", "CMYK") for option in options]
    return [*files, bombs.jpeg_of_scans(24, 40, 3)]


def pngs() -> list[bytes]:
    from PIL import PngImagePlugin

    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 99, zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x tiff:Orientation='6'/>", zip=True)
    files = [photo("PNG", mode, pnginfo=text, exif=_exif()) for mode in ("RGB", "RGBA", "L", "LA", "P", "1")]
    files += [photo("PNG", "RGB", icc_profile=_profile()), photo("PNG", "P", transparency=3), photo("PNG", "L", bits=4)]
    files += [bombs.png(16, 16, depth=16, colour=6, rows=bytes(range(129)) * 16), bombs.png(4, 4, colour=3)]
    frames = [photo_image(seed) for seed in (1, 2)]
    return [*files, photo("PNG", save_all=True, append_images=frames)]


def photo_image(seed: int) -> object:
    """`picture` as a Pillow image."""
    from PIL import Image

    return Image.fromarray(picture(seed=seed))


def gifs() -> list[bytes]:
    frames = [photo_image(seed) for seed in (1, 2)]
    return [
        photo("GIF", "P"),
        photo("GIF", "P", save_all=True, append_images=frames, comment=b"x" * 300),
        bombs.gif(30, 20),
    ]


def webps() -> list[bytes]:
    frames = [photo_image(seed) for seed in (1, 2)]
    options: list[dict[str, object]] = [{}, {"lossless": True}, {"exif": _exif(), "icc_profile": _profile()}]
    files = [photo("WEBP", mode, **option) for mode in ("RGB", "RGBA") for option in options]
    return [*files, photo("WEBP", save_all=True, append_images=frames)]


def tiffs() -> list[bytes]:
    names = (None, "tiff_lzw", "tiff_deflate", "packbits", "jpeg", "lzma", "zstd")
    files = [photo("TIFF", mode, compression=name) for mode in ("RGB", "L") for name in names]
    tile = {"t322": ("I", [16]), "t323": ("I", [16]), "t324": ("I", [-1] * 4), "t325": ("I", [768] * 4)}
    return [
        *files,
        photo("TIFF", "1", compression="group4"),
        bombs.tiff_photo(32, 32, bytes(768), **tile),
        photo("TIFF", "CMYK"),
    ]


def bmps() -> list[bytes]:
    return [photo("BMP", mode) for mode in ("RGB", "L", "P", "1")] + [
        bombs.bmp(20, 9, b"\x14\1\0\0" * 9 + b"\0\1", 8, 1)
    ]


def others() -> list[bytes]:
    import imagecodecs
    from PIL import features

    files = [bytes(imagecodecs.jpegxl_encode(picture(), lossless=lossless)) for lossless in (True, False)]
    if features.check("avif"):
        files += [photo("AVIF", mode, speed=10) for mode in ("RGB", "RGBA", "L")]
    try:
        import pillow_heif
    except ImportError:
        return files
    pillow_heif.register_heif_opener()
    return [*files, photo("HEIF"), photo("HEIF", "L")]
