"""Protocol files: what they hold, whose photos they accept, and an evaluation on one."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from manifests.errors import DatasetError, OutputError
from manifests.reader import Dataset
from tests.conftest import Cleaned
from tests.train.judge.conftest import Evaluated
from tests.train.judge.test_pairs import HELD_OUT
from train.application import app
from train.config import Recipe
from train.data.faces import read_training_faces
from train.errors import CheckpointError, ProtocolError
from train.judge.evaluate import JudgeRequest, plan, run
from train.judge.frontier import ALPHAS, blend_name
from train.judge.names import name_candidates
from train.judge.protocol import ProtocolRequest, content_hash, image_ids, make_protocol, read_protocol


@pytest.fixture(scope="module")
def protocol(cleaned: Cleaned, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("protocol") / "half.toml"
    make_protocol(ProtocolRequest(cleaned.out, path, pairs=4, held_out=0.5, sources=2, size=96))
    return path


def test_a_file_names_the_swaps_of_held_out_people_and_is_read_as_it_was_written(
    cleaned: Cleaned, protocol: Path, tmp_path: Path
) -> None:
    values = tomllib.loads(protocol.read_text())
    dataset = Dataset.open(cleaned.out)
    people = dataset.to_pandas(["image_id", "identity"]).set_index("image_id").identity
    assert {people[name] for name in values["gallery"]} == set(HELD_OUT)
    assert (len(values["cross"]), len(values["same"]), values["size"]) == (4, 4, 96)
    for target, *sources in values["cross"]:
        assert 1 <= len(sources) <= 2
        assert {people[source] for source in sources} == {people[sources[0]]} != {people[target]}
    file, pairs = read_protocol(protocol, dataset)
    assert (file.held_out, file.seed) == (0.5, 0)
    made = make_protocol(ProtocolRequest(cleaned.out, tmp_path / "b.toml", pairs=4, held_out=0.5, sources=2, size=96))
    assert (tmp_path / "b.toml").read_bytes() == protocol.read_bytes()
    for one, other in zip(pairs.all, made.all, strict=True):
        assert np.array_equal(pairs.faces.face_id[one.targets], made.faces.face_id[other.targets])
        assert np.array_equal(pairs.faces.face_id[one.sources], made.faces.face_id[other.sources])
    assert make_protocol(ProtocolRequest(cleaned.out, tmp_path / "c.toml", pairs=4, held_out=0.5, gallery_people=5)).all
    gallery = tomllib.loads((tmp_path / "c.toml").read_text())["gallery"]
    assert len({people[name] for name in gallery}) == 5


def test_every_source_can_be_retrieved(cleaned: Cleaned, protocol: Path, tmp_path: Path) -> None:
    dataset, text = Dataset.open(cleaned.out), protocol.read_text()
    values = tomllib.loads(text)
    faces = read_training_faces(dataset, values["template"])
    in_swaps = {name for swap in (*values["cross"], *values["same"]) for name in swap}
    digest = content_hash(dataset, faces, np.flatnonzero(np.isin(image_ids(faces).astype(str), sorted(in_swaps))))
    gallery = text[text.index("gallery = [") : text.index("cross = [")]
    path = tmp_path / "no-gallery.toml"
    path.write_text(text.replace(gallery, "gallery = []\n").replace(values["content_hash"], digest))
    with pytest.raises(ProtocolError, match=r"the gallery has no photo of .+, the source of a swap"):
        read_protocol(path, dataset)


def test_other_photos_and_wrong_files_are_refused(cleaned: Cleaned, protocol: Path, tmp_path: Path) -> None:
    dataset, text = Dataset.open(cleaned.out), protocol.read_text()
    values = tomllib.loads(text)

    def changed(before: str, after: str) -> Path:
        path = tmp_path / "changed.toml"
        assert before in text
        path.write_text(text.replace(before, after))
        return path

    with pytest.raises(DatasetError, match=r"with other bytes or identities"):
        read_protocol(changed(values["content_hash"], "0" * 64), dataset)
    with pytest.raises(DatasetError, match=r"does not keep 1 of its \d+ photos, as missing.jpg"):
        read_protocol(changed(json.dumps(values["cross"][0][0]), '"missing.jpg"'), dataset)
    with pytest.raises(ProtocolError, match=r"is not a protocol file .*format"):
        read_protocol(changed("swapset-protocol-1", "swapset-protocol-9"), dataset)
    with pytest.raises(ProtocolError, match=r"names no source: a swap is \[target, source, ...\]"):
        read_protocol(changed(json.dumps(values["cross"][0]), json.dumps(values["cross"][0][:1])), dataset)
    with pytest.raises(ProtocolError, match=r"swap 1 of cross is of one person"):
        read_protocol(changed(json.dumps(values["cross"][0]), json.dumps(values["same"][0])), dataset)
    target, *sources = values["cross"][0]
    mixed = json.dumps([target, *sources, target])
    with pytest.raises(ProtocolError, match=r"swap 1 of cross is of photos of several people as its source"):
        read_protocol(changed(json.dumps(values["cross"][0]), mixed), dataset)
    own = values["same"][0]
    with pytest.raises(ProtocolError, match=r"swap 1 of same is of its target as its source"):
        read_protocol(changed(json.dumps(own), json.dumps([own[0], own[0]])), dataset)
    with pytest.raises(ProtocolError, match="no such protocol file: write one with `simswap pairs`"):
        read_protocol(tmp_path / "none.toml", dataset)
    with pytest.raises(DatasetError, match=r"fewer than two of its \d+ people are held out by a share of 0.001"):
        make_protocol(ProtocolRequest(cleaned.out, tmp_path / "new.toml", held_out=0.001))
    with pytest.raises(OutputError, match="exists"):
        make_protocol(ProtocolRequest(cleaned.out, protocol))


def test_candidates_are_judged_on_a_file_beside_the_target_and_its_blends(
    cleaned: Cleaned, evaluated: Evaluated, protocol: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    request = JudgeRequest({"a": evaluated.checkpoint, "b": evaluated.checkpoint}, cleaned.out, out, protocol=protocol)
    summary = run(plan(request))
    blends = [blend_name(alpha) for alpha in ALPHAS]
    assert list(summary.models) == ["a", "b", *blends]
    metrics = summary.metrics[summary.first_judge]
    assert metrics["a"] == metrics["b"]
    assert metrics["target"]["landmark_error"].value == pytest.approx(0, abs=1e-4)
    assert metrics["target"]["top1"].value == 0
    closer = [metrics[name]["distance"].value or 0 for name in blends]
    assert closer[0] > closer[5] > closer[9]
    assert list(summary.frontier[summary.first_judge]) == ["a", "b"]
    assert summary.models["a"].held_out
    assert summary.models["target"].kind == "blend"
    assert summary.data.protocol_sha256
    assert (summary.data.size, summary.judged.gallery_people) == (96, 3)
    assert summary.distributions["target"].fid.value == pytest.approx(0, abs=1)
    assert json.loads((out / "summary.json").read_text()) == summary.to_json()
    rows = pd.read_csv(out / "summary.csv", keep_default_na=False)
    top1 = rows[(rows.model == "blend 0.9") & (rows.metric == "top1")]
    assert float(top1.value.item()) == pytest.approx(metrics["blend 0.9"]["top1"].value)
    assert set(rows.metric) >= {"fid", "kid", "top5", "expression", "top1_above_blends_at_pose_error"}
    assert "<polyline" in (out / "frontier.svg").read_text()
    page = (out / "index.html").read_text()
    assert "<polyline" in page
    assert "half.toml" in page
    everyone = tmp_path / "everyone.toml"
    make_protocol(ProtocolRequest(cleaned.out, everyone, pairs=4, held_out=1.0))
    planned = plan(replace(request, protocol=everyone))
    assert planned.note.endswith("OPTIMISTIC for a, b, whose recipe does not hold all of them out of its training")
    assert planned.held_out == {"a": False, "b": False}


def test_the_command_writes_a_file_and_refuses_options_without_effect(cleaned: Cleaned, tmp_path: Path) -> None:
    assert ProtocolRequest.held_out <= Recipe().held_out  # with the defaults of both, no one was trained on
    out = str(tmp_path / "p.toml")
    command = ["pairs", str(cleaned.out), "--out", out]
    result = CliRunner().invoke(app, [*command, "--held-out", "0.5", "--pairs", "3"])
    assert result.exit_code == 0, result.output
    assert f"{out}: 3 of two people, 3 of one person; gallery of " in result.output
    for wrong in (["--people", "a,b", "--held-out", "0.5"], ["--held-out-photos", "0.5"]):
        result = CliRunner().invoke(app, [*command, *wrong])
        assert result.exit_code == 2
        assert "no effect" in " ".join(result.output.split())


def test_candidates_are_called_by_their_runs_or_as_asked(tmp_path: Path) -> None:
    named = name_candidates(["runs/tiny/checkpoints/000000020000.safetensors", "x=a/b.onnx", "inswapper.toml"])
    assert list(named) == ["tiny 20000", "x", "inswapper"]
    assert named["x"] == Path("a/b.onnx")
    with pytest.raises(CheckpointError, match="another one is called 'b' too"):
        name_candidates(["a/b.onnx", "c/b.onnx"])
    with pytest.raises(CheckpointError, match="'target' is taken or empty"):
        name_candidates(["target=a.onnx"])
