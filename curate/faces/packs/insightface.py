"""insightface's packs `buffalo_l` and `buffalo_s`: where their files are, how they get there, and what they become.

A pack is a folder in the model folder ($SWAPSET_MODELS, else ~/.insightface/models) with a SCRFD detector and an
ArcFace embedder, where insightface itself looks too. Nothing here downloads but `fetch`. The sha256 of each file is
written down when it is first used and checked ever after. The models are for non-commercial research;
curate/weights/packs.md tells the rest.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from curate.errors import ModelError
from curate.faces.packs.download import download, unpack_models
from curate.faces.weights import Calibration, Weights, file_sha256, models_folder, register
from curate.listener import SILENT, Listener

_RELEASE = "https://github.com/deepinsight/insightface/releases/download/v0.7/"
_LICENCE = "non-commercial research only (insightface model zoo)"
PINS = "swapset-sha256.json"
"""The file in the model folder that holds the sha256 of each pack file as it was first used."""

# insightface's own rule of thumb is "same person above .3"; the distributions stand for ArcFace networks of this
# kind on web photos and are not measured on these files, which no test machine may hold.
_ASSUMED = Calibration(
    same_mean=0.60, same_std=0.14, different_mean=0.02, different_std=0.07, far_1e2=0.18, far_1e3=0.24, far_1e4=0.29,
    equal_error=0.22, measured_on="assumed, not measured: typical of ArcFace on web photos",
)  # fmt: skip


@dataclass(frozen=True)
class Pack:
    """One pack: the zip's address and its two files, as entries of the weights table."""

    name: str
    url: str
    detector: Weights
    embedder: Weights

    @property
    def folder(self) -> Path:
        return models_folder() / self.name

    @property
    def files(self) -> tuple[Path, Path]:
        """Where the detector and the embedder belong, whether they are there or not."""
        return models_folder() / self.detector.file, models_folder() / self.embedder.file


def _pack(name: str, detector: str, embedder: str, paper: str) -> Pack:
    url = f"{_RELEASE}{name}.zip"
    found = register(
        Weights(
            name=f"{name}/{detector}", task="detection", file=f"{name}/{detector}.onnx", package=None, sha256=None,
            licence=_LICENCE, source="Guo et al. 2021, SCRFD, arxiv.org/abs/2105.04714", size=None,
            mean=(127.5, 127.5, 127.5), std=(128.0, 128.0, 128.0), url=url,
        )
    )  # fmt: skip
    known = register(
        Weights(
            name=f"{name}/{embedder}", task="embedding", file=f"{name}/{embedder}.onnx", package=None, sha256=None,
            licence=_LICENCE, source=f"Deng et al. 2019, ArcFace, arxiv.org/abs/1801.07698; {paper}, WebFace600K",
            size=(112, 112), mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5), url=url, template="arcface-112",
            calibration=_ASSUMED,
        )
    )  # fmt: skip
    return Pack(name, url, found, known)


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
    """Whether both files of the pack are in the model folder; a folder with one of them does not count."""
    return all(file.is_file() for file in pack_of(name).files)


def locate(name: str) -> tuple[Path, Path]:
    """The pack's detector and embedder files, present and with the sha256 of their first use; else a ModelError."""
    pack = pack_of(name)
    missing = [file.name for file in pack.files if not file.is_file()]
    if missing:
        state = "is incomplete: without " + " and ".join(missing) if pack.folder.is_dir() else "does not exist"
        raise ModelError(f"{name}: {pack.folder} {state}; run `curate models fetch {name}`, or {_by_hand(pack)}")
    _check_pins(pack.files)
    return pack.files


def fetch(name: str, listener: Listener = SILENT, url: str | None = None) -> Path:
    """Bring a pack into the model folder and return its folder; one that is complete is only checked.

    A zip of the pack's name that lies in the model folder already is unpacked instead of downloading. `url` names a
    mirror. An interrupted download goes on at the next call. Raises ModelError, in one line, where there is no way
    to the server, the archive is not what it should be, or a file is not the one first used.
    """
    pack = pack_of(name)
    if not is_present(name):
        archive = models_folder() / f"{name}.zip"
        brought = archive.is_file()
        try:
            if not brought:
                download(url or pack.url, archive, listener)
            unpack_models(archive, pack.folder, [file.name for file in pack.files])
        except ModelError as error:
            if not brought:
                archive.unlink(missing_ok=True)
            raise ModelError(f"{name}: {error}; to do without the network, {_by_hand(pack)}") from error
        except OSError as error:
            raise ModelError(
                f"{name}: {models_folder()} cannot be written ({error}); name another as $SWAPSET_MODELS"
            ) from error
        if not brought:
            archive.unlink()
    locate(name)
    return pack.folder


def _by_hand(pack: Pack) -> str:
    return f"bring {pack.name}.zip ({pack.url}) to {models_folder()} and fetch again"


def _check_pins(files: tuple[Path, ...]) -> None:
    """Compare each file's sha256 with the one written down; write down what is new."""
    path = models_folder() / PINS
    try:
        pins: dict[str, str] = json.loads(path.read_text())
    except FileNotFoundError:
        pins = {}
    except ValueError as error:
        raise ModelError(f"{path}: not readable as JSON ({error}); remove it to trust the files as they are") from error
    fresh = {}
    for file in files:
        key, found = f"{file.parent.name}/{file.name}", file_sha256(file)
        if pins.get(key, found) != found:
            raise ModelError(
                f"{file} has sha256 {found}, but {pins[key]} when it was first used; bring that file back, "
                f"or remove {key!r} from {path} to trust this one"
            )
        if key not in pins:
            fresh[key] = found
    if fresh and os.access(path.parent, os.W_OK):  # a shared read-only folder is nobody's to change
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_text(json.dumps(pins | fresh, indent=1, sort_keys=True) + "\n")
        os.replace(part, path)
