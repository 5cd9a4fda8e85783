"""Views of a dataset decided by other policies: the dataset itself is not changed."""

import shutil
from pathlib import Path

from curate import merge
from curate.decide.policy import load_policy
from curate.decide.view import make_view
from curate.faces.models import load_embedder
from manifests.pixels import decode_crop
from manifests.reader import Dataset
from tests.conftest import Cleaned
from tests.samples.hashes import file_hashes
from train.data.faces import read_training_faces
from train.data.latents import read_latents


def test_a_view_has_other_verdicts_and_the_pixels_of_its_dataset(cleaned: Cleaned, tmp_path: Path) -> None:
    before = file_hashes(cleaned.out)
    policy = load_policy("keep-all")
    for _ in range(2):  # made, then made again in the same folder
        view = make_view(cleaned.out, policy, tmp_path / "view")
    assert file_hashes(cleaned.out) == before
    assert view.policy_hash() == policy.sha256() != Dataset.open(cleaned.out).policy_hash()
    default, all_kept = (
        set(dataset.to_pandas(["image_id"], keep=True).image_id) for dataset in (Dataset.open(cleaned.out), view)
    )
    assert default < all_kept
    row = view.to_pandas(keep=True).iloc[0]
    assert decode_crop(view.pixels.crop(row)).shape == (224, 224, 3)


def test_a_view_of_a_merged_dataset_decides_its_parts(cleaned: Cleaned, tmp_path: Path) -> None:
    parts, merged = [tmp_path / "a", tmp_path / "b"], tmp_path / "merged"
    for part in parts:
        shutil.copytree(cleaned.out, part)
    (parts[0] / "overrides.csv").write_text("image_id,verdict,note\n")
    merge.run(merge.plan(merge.MergeRequest(tuple(parts), merged)))
    before = file_hashes(merged)
    view = make_view(merged, load_policy("keep-all"), tmp_path / "views" / "keep-all")
    assert file_hashes(merged) == before
    faces, default = (read_training_faces(dataset, "simswap-224") for dataset in (view, Dataset.open(merged)))
    assert set(default.face_id) < set(faces.face_id)
    assert set(default.people) <= set(faces.people)
    latents = read_latents(view, faces, load_embedder("builtin"), tmp_path / "cache")
    assert latents.shape == (len(faces), 128)
    assert not (tmp_path / "cache").exists()  # read from the parts
