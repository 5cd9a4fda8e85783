"""Public datasets as they are distributed: the command of the guide reads their identities and splits."""

import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from curate.sources import open_source
from tests.samples.recordio import write_pack


@dataclass(frozen=True)
class Public:
    """A dataset: its files, the options of the guide, and the photos by (identity, split).

    `tables`: text files beside the photos.
    """

    files: tuple[str, ...]
    photos: dict[tuple[str, str | None], int]
    layout: str = "folder"
    root: str = "."
    identities: str | None = None
    tables: dict[str, str] = field(default_factory=dict)


def without_identity(count: int, split: str | None = None) -> dict[tuple[str, str | None], int]:
    return {(".", split): count}


PUBLIC = {
    "LFW": Public(
        ("lfw/Aaron_Eckhart/Aaron_Eckhart_0001.jpg", "lfw/Zico/Zico_0001.jpg", "lfw/Zico/Zico_0002.jpg"),
        {("Aaron_Eckhart", None): 1, ("Zico", None): 2}, root="lfw",
    ),
    "CelebA": Public(
        ("img_align_celeba/000001.jpg", "img_align_celeba/000002.jpg", "img_align_celeba/000003.jpg"),
        {("2880", None): 2, ("2937", None): 1}, root="img_align_celeba", identities="identity_CelebA.txt",
        tables={"identity_CelebA.txt": "000001.jpg 2880\n000002.jpg 2937\n000003.jpg 2880\n"},
    ),
    "CASIA-WebFace": Public(
        ("CASIA-WebFace/0000045/001.jpg", "CASIA-WebFace/0000099/001.jpg"),
        {("0000045", None): 1, ("0000099", None): 1}, root="CASIA-WebFace",
    ),
    "VGGFace2": Public(
        ("data/train/n000002/0001_01.jpg", "data/test/n000001/0001_01.jpg", "data/meta/identity_meta.csv"),
        {("n000001", "test"): 1, ("n000002", "train"): 1}, layout="vggface2",
    ),
    "VGGFace2, cropped by MTCNN": Public(
        ("train_mtcnnpy_182/n000002/0001_01.png", "test_mtcnnpy_182/n000001/0001_01.png"),
        {("n000001", "test"): 1, ("n000002", "train"): 1}, layout="vggface2",
    ),
    "VGGFace2, 112 x 112": Public(
        ("vggface2_112x112/n000002/0001_01.jpg", "vggface2_112x112/n000003/0001_01.jpg"),
        {("n000002", None): 1, ("n000003", None): 1}, layout="vggface2",
    ),
    "FFHQ": Public(
        ("images1024x1024/00000/00000.png", "images1024x1024/01000/01001.png", "ffhq-dataset-v2.json"),
        without_identity(2), root="images1024x1024",
    ),
    "CelebA-HQ": Public(
        ("CelebA-HQ-img/0.jpg", "CelebA-HQ-img/1.jpg", "CelebA-HQ-img/10.jpg"), without_identity(3),
        root="CelebA-HQ-img", identities="none",
    ),
    "Adience": Public(
        ("faces/7153718@N04/coarse_tilt_aligned_face.2.9_o.jpg", "faces/7153718@N04/coarse_tilt_aligned_face.3.jpg"),
        without_identity(2), root="faces", identities="none",
    ),
    "IMDB-WIKI": Public(
        ("imdb_crop/00/nm0000100_rm12818688_1955-1-6_2003.jpg", "imdb_crop/99/nm0000199_rm1_1940-4-25_1992.jpg"),
        without_identity(2), root="imdb_crop", identities="none",
    ),
    "UTKFace": Public(
        ("UTKFace/25_0_1_20170116174525125.jpg.chip.jpg", "UTKFace/1_0_0_20161219154956384.jpg.chip.jpg"),
        without_identity(2), root="UTKFace", identities="none",
    ),
    "AgeDB": Public(
        ("AgeDB/0_MariaCallas_35_f.jpg", "AgeDB/1_MariaCallas_40_f.jpg", "AgeDB/2_GlennClose_62_f.jpg"),
        {("MariaCallas", None): 2, ("GlennClose", None): 1}, root="AgeDB",
        identities=r"regex:^\d+_([^_]+)_",
    ),
    "CFP": Public(
        ("Data/Images/001/frontal/01.jpg", "Data/Images/001/profile/01.jpg", "Data/Images/002/frontal/01.jpg"),
        {("001", None): 2, ("002", None): 1}, root="Data/Images",
    ),
    "FaceScrub": Public(
        ("facescrub/actors/Aaron_Eckhart/1.jpg", "facescrub/actresses/Emma_Stone/2.jpg"),
        {("Aaron_Eckhart", None): 1, ("Emma_Stone", None): 1}, root="facescrub", identities="parent",
    ),
    "PubFig": Public(
        ("pubfig83/Adam Sandler/000ecb.jpg", "pubfig83/Zac Efron/00a1.jpg"),
        {("Adam Sandler", None): 1, ("Zac Efron", None): 1}, root="pubfig83",
    ),
    "MegaFace": Public(
        ("FlickrFinal2/100/10001@N01/1_0.jpg", "FlickrFinal2/101/10101@N02/2_0.jpg"),
        without_identity(2), root="FlickrFinal2", identities="none",
    ),
    "CelebV-HQ": Public(
        ("frames/-2vfm_0/000000.png", "frames/-2vfm_0/000025.png", "frames/xyz_1_2/000000.png"),
        {("-2vfm_0", None): 2, ("xyz_1_2", None): 1}, root="frames",
    ),
    "AffectNet": Public(
        ("train_set/images/0.jpg", "train_set/images/1.jpg", "val_set/images/0.jpg", "train_set/annotations/0_exp.npy"),
        {(".", "train"): 2, (".", "val"): 1}, identities="none",
    ),
    "DigiFace-1M": Public(
        ("subjects_0-1999_72_imgs/0/0.png", "subjects_0-1999_72_imgs/1/0.png", "subjects_2000-3999_72_imgs/2000/0.png"),
        {("0", None): 1, ("1", None): 1, ("2000", None): 1}, identities="parent",
    ),
    "SFHQ": Public(
        ("images/SFHQ_pt1_00000001.jpg", "images/SFHQ_pt1_00000002.jpg"), without_identity(2), root="images",
        identities="none",
    ),
}  # fmt: skip


def jpeg(number: int) -> bytes:
    """Encode a tiny photo of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (number, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_dataset(tmp_path: Path, name: str) -> None:
    dataset = PUBLIC[name]
    for number, file in enumerate(dataset.files):
        path = tmp_path / "set" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
    for file, text in dataset.tables.items():
        (tmp_path / file).write_text(text)
    identities = str(tmp_path / dataset.identities) if dataset.identities in dataset.tables else dataset.identities
    source = open_source(dataset.layout, tmp_path / "set" / dataset.root, identities)
    entries = [entry for key in source.identities() for entry in source.entries(key)]
    assert Counter((entry.identity, entry.split) for entry in entries) == dataset.photos
    assert not any("not read" in note for note in source.notes())
    assert source.read(entries[0]).startswith(b"\xff\xd8")


@pytest.mark.parametrize("name", ["MS1MV2", "WebFace"])
def test_a_public_pack(tmp_path: Path, name: str) -> None:
    pack = write_pack(tmp_path / name, [(1, 0.0, jpeg(1)), (2, 0.0, jpeg(2)), (3, 17.0, jpeg(3))])
    source = open_source("folder", pack)
    assert {key: len(source.entries(key)) for key in source.identities()} == {"0": 2, "17": 1}


def test_the_guide_has_a_row_for_each_dataset() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "datasets.md").read_text(encoding="utf-8")
    rows = [line.partition("|")[2].partition("|")[0].strip() for line in guide.splitlines() if line.startswith("|")]
    assert {"MS1MV2, MS1MV3", "WebFace42M, WebFace260M", *PUBLIC} <= set(rows)
