"""Checkpoints: everything is restored; damaged, foreign and unwritable files are refused with a message."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import Adam

from manifests.errors import OutputError
from train.checkpoint import (
    Checkpoint,
    CheckpointFacts,
    CheckpointWriter,
    newest,
    path_of,
    read,
    restore,
    snapshot,
    write,
)
from train.config import Recipe
from train.errors import CheckpointError

RECIPE = Recipe(size=64, discriminator_scales=1)


def trained(steps: int) -> tuple[nn.Module, Adam]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimiser = Adam(network.parameters(), lr=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        network(torch.rand(5, 3)).square().sum().backward()
        optimiser.step()
    return network, optimiser


def taken(steps: int = 2, images: int = 8) -> Checkpoint:
    network, optimiser = trained(steps)
    facts = CheckpointFacts(RECIPE, "p" * 64, "e" * 16, 128, images)
    return snapshot({"net": network}, {"adam": optimiser}, {"extra": torch.arange(3)}, facts, {"position": 5})


def test_equal_checkpoints_have_equal_bytes(tmp_path: Path) -> None:
    contents = set()
    for number in range(8):  # the library writes three keys of metadata in six orders
        write(tmp_path / f"{number}.safetensors", taken())
        contents.add((tmp_path / f"{number}.safetensors").read_bytes())
    assert len(contents) == 1


def test_networks_and_optimisers_come_back(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", taken())
    state = read(tmp_path / "a.safetensors")
    network, optimiser = trained(0)
    restore(state, {"net": network}, {"adam": optimiser})
    original, adam = trained(2)
    for name, tensor in original.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name
    restored, expected = optimiser.state_dict(), adam.state_dict()
    assert restored["param_groups"] == json.loads(json.dumps(expected["param_groups"]))
    for index, moments in expected["state"].items():
        for name, tensor in moments.items():
            assert torch.equal(restored["state"][index][name], tensor)
    assert state.facts == CheckpointFacts(RECIPE, "p" * 64, "e" * 16, 128, 8)
    assert state.loader == {"position": 5}
    assert state.tensors["extra"].tolist() == [0, 1, 2]


def test_a_snapshot_does_not_follow_later_updates() -> None:
    network, optimiser = trained(1)
    copy = snapshot({"net": network}, {"adam": optimiser}, {}, CheckpointFacts(RECIPE, None, "e" * 16, 128, 0), {})
    before = copy.tensors["net.0.weight"].clone()
    with torch.no_grad():
        next(network.parameters()).zero_()
    assert torch.equal(copy.tensors["net.0.weight"], before)


@pytest.mark.parametrize("where", ["header", "tensors", "end"])
def test_a_damaged_file_is_refused(tmp_path: Path, where: str) -> None:
    path = tmp_path / "a.safetensors"
    write(path, taken())
    data = bytearray(path.read_bytes())
    if where == "end":
        del data[-10:]
    else:
        data[20 if where == "header" else -3] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"a.safetensors is damaged .*continues from the one before"):
        read(path)


def test_other_files_and_other_networks_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="format is None"):
        read(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read(tmp_path / "y.safetensors")
    with pytest.raises(CheckpointError, match="does not fit this training"):
        restore(taken(), {"net": nn.Linear(3, 5)}, {})


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    state = taken()
    path = tmp_path / "a.safetensors"
    write(path, replace(state, facts=Renamed(**vars(state.facts))))
    with pytest.raises(CheckpointError, match="was written by another version of swapset"):
        read(path)


class Renamed(CheckpointFacts):
    """The facts as another version of the program would write them."""

    def to_json(self) -> dict[str, object]:
        return {"width" if name == "latent_dim" else name: value for name, value in super().to_json().items()}


def test_the_writer_keeps_the_newest(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, keep=2)
    for images in (4, 8, 12):
        writer.write(taken(images=images))
    writer.close()
    assert sorted(tmp_path.iterdir()) == [path_of(tmp_path, 8), path_of(tmp_path, 12)]
    assert newest(tmp_path) == path_of(tmp_path, 12)


def test_an_error_of_the_thread_reaches_the_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    writer = CheckpointWriter(tmp_path / "file", keep=1)
    writer.write(taken())
    with pytest.raises(OutputError, match=r"a file is in the way|not a directory"):
        writer.close()


def test_a_full_disk_is_one_clear_error_and_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    # A limit on file sizes fails like a full disk, in the middle of a write.
    code = (
        "import resource, signal, sys, torch\n"
        "from pathlib import Path\n"
        "from train.checkpoint import Checkpoint, CheckpointFacts, write\n"
        "from train.config import Recipe\n"
        "def state(size, images):\n"
        "    facts = CheckpointFacts(Recipe(), None, 'e' * 16, 128, images)\n"
        "    return Checkpoint({'x': torch.zeros(size)}, facts, {}, {})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "path = Path(sys.argv[1])\n"
        "write(path, state(10, 1))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from manifests.errors import OutputError\n"
        "try:\n    write(path, state(1_000_000, 2))\n"
        "except OutputError as error:\n    print(error)\n"
    )
    path = tmp_path / "a.safetensors"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"cannot write {path}")
    assert read(path).facts.images == 1
    assert list(tmp_path.iterdir()) == [path]
