"""The table of insightface's packs, `buffalo_l` and `buffalo_s`: their files, addresses and hashes.

A pack is a folder in the model folder ($SWAPSET_MODELS, else ~/.insightface/models, which insightface itself uses) with
a SCRFD detector and an ArcFace embedder. Only `fetch` downloads. The sha256 of each file is recorded when it is first
used and checked from then on. The models are for non-commercial research; see curate/weights/packs.md.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from curate.errors import ModelError
from curate.faces.packs.download import download, unpack_models
from curate.faces.weights import ASSUMED_ARCFACE, Weights, file_sha256, models_folder, register
from curate.listener import SILENT, Listener
from manifests.output import atomic
from manifests.records import read_record

_RELEASE = "https://github.com/deepinsight/insightface/releases/download/v0.7/"
_LICENCE = "non-commercial research only (insightface model zoo)"
PINS = "swapset-sha256.json"
"""File in the model folder with the sha256 of each pack file when it was first used."""


@dataclass(frozen=True)
class Pack:
    """One pack: the address of its zip file, and its two files as entries of the weights table."""

    name: str
    url: str
    detector: Weights
    embedder: Weights

    @property
    def folder(self) -> Path:
        """Folder of the pack, whether it exists or not."""
        return models_folder() / self.name

    @property
    def files(self) -> tuple[Path, Path]:
        """Paths of the detector and the embedder, whether they exist or not."""
        return models_folder() / self.detector.file, models_folder() / self.embedder.file


def _pack(name: str, detector: str, embedder: str, paper: str) -> Pack:
    url = f"{_RELEASE}{name}.zip"
    detection = register(
        Weights(
            name=f"{name}/{detector}", task="detection", file=f"{name}/{detector}.onnx", package=None, sha256=None,
            licence=_LICENCE, source="Guo et al. 2021, SCRFD, arxiv.org/abs/2105.04714", size=None,
            mean=(127.5, 127.5, 127.5), std=(128.0, 128.0, 128.0), url=url,
        )
    )  # fmt: skip
    embedding = register(
        Weights(
            name=f"{name}/{embedder}", task="embedding", file=f"{name}/{embedder}.onnx", package=None, sha256=None,
            licence=_LICENCE, source=f"Deng et al. 2019, ArcFace, arxiv.org/abs/1801.07698; {paper}, WebFace600K",
            size=(112, 112), mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5), url=url, template="arcface-112",
            calibration=ASSUMED_ARCFACE,
        )
    )  # fmt: skip
    return Pack(name, url, detection, embedding)


PACKS = {
    pack.name: pack
    for pack in (
        _pack("buffalo_l", "det_10g", "w600k_r50", "IResNet-50"),
        _pack("buffalo_s", "det_500m", "w600k_mbf", "MobileFaceNet"),
    )
}
"""The packs by name, the most accurate first."""


def pack_of(name: str) -> Pack:
    """The pack of that name; ModelError for an unknown one."""
    if name not in PACKS:
        raise ModelError(f"unknown pack {name!r}; one of {', '.join(PACKS)}")
    return PACKS[name]


def is_present(name: str) -> bool:
    """Whether both files of the pack are in the model folder."""
    return all(file.is_file() for file in pack_of(name).files)


def locate(name: str) -> tuple[Path, Path]:
    """Paths of the pack's detector and embedder.

    Raises ModelError if a file is missing, or its sha256 is not that of its first use.
    """
    pack = pack_of(name)
    missing = [file.name for file in pack.files if not file.is_file()]
    if missing:
        state = "is incomplete: without " + " and ".join(missing) if pack.folder.is_dir() else "does not exist"
        raise ModelError(f"{name}: {pack.folder} {state}; run `curate models fetch {name}`, or {_offline_advice(pack)}")
    _check_pins(pack.files)
    return pack.files


def fetch(name: str, listener: Listener = SILENT, url: str | None = None) -> Path:
    """Download a pack into the model folder; a complete one is only checked.

    A zip of the pack's name in the model folder is unpacked instead of downloaded. An interrupted download continues at
    the next call.

    Args:
        name: the pack.
        listener: receives the progress in bytes.
        url: address of a mirror.

    Returns:
        The pack's folder.

    Raises:
        ModelError: the server cannot be reached, the archive is damaged or another one, or a file's sha256 is not that
            of its first use.
    """
    pack = pack_of(name)
    if not is_present(name):
        archive = models_folder() / f"{name}.zip"
        supplied = archive.is_file()
        try:
            if not supplied:
                download(url or pack.url, archive, listener)
            unpack_models(archive, pack.folder, [file.name for file in pack.files])
        except ModelError as error:
            if not supplied:
                archive.unlink(missing_ok=True)
            raise ModelError(f"{name}: {error}; without a network, {_offline_advice(pack)}") from error
        except OSError as error:
            raise ModelError(f"{name}: {models_folder()} cannot be written ({error}); set $SWAPSET_MODELS") from error
        if not supplied:
            archive.unlink()
    locate(name)
    return pack.folder


def _offline_advice(pack: Pack) -> str:
    return f"copy {pack.name}.zip ({pack.url}) to {models_folder()} and fetch again"


def _check_pins(files: tuple[Path, ...]) -> None:
    """Compare each file's sha256 with the recorded one; record those of new files."""
    path = models_folder() / PINS
    pins: dict[str, str] = {}
    if path.exists():
        pins = read_record(path, dict[str, str], ModelError, "remove it to accept the files as they are")
    new = {}
    for file in files:
        key, sha256 = f"{file.parent.name}/{file.name}", file_sha256(file)
        if pins.get(key, sha256) != sha256:
            raise ModelError(
                f"{file} has sha256 {sha256}, but had {pins[key]} when it was first used; restore that file, "
                f"or remove {key!r} from {path} to accept this one"
            )
        if key not in pins:
            new[key] = sha256
    if new and os.access(path.parent, os.W_OK):  # a shared model folder may be read-only
        with atomic(path) as partial:
            partial.write_text(json.dumps(pins | new, indent=1, sort_keys=True) + "\n")
