"""Packed checkpoints: half the size of the generator alone, and the same swaps."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from manifests.errors import OutputError
from tests.samples.swap import write_checkpoint
from train import checkpoint
from train.swap.packing import pack_generator
from train.trained import load_network


def test_a_packed_checkpoint_swaps_the_same(tmp_path: Path) -> None:
    path, packed = tmp_path / "a.safetensors", tmp_path / "packed.safetensors"
    write_checkpoint(path, generator="people", people="ann, bob", same_person=1.0, held_out=0.0, blocks=9)
    full = checkpoint.read(path)
    moments = {"optimiser_g.0.exp_avg": torch.ones(9), "generator.person": full.tensors["ema.person"].clone()}
    path.unlink()
    checkpoint.write(path, checkpoint.Checkpoint(full.tensors | moments, full.facts, {}, {"position": 3}))
    assert pack_generator(path, packed) == packed.stat().st_size
    assert packed.stat().st_size < 0.6 * path.stat().st_size
    assert not any(name.startswith(("optimiser", "generator")) for name in checkpoint.read(packed).tensors)

    generators = [load_network(file) for file in (path, packed)]
    assert generators[1].people == ("ann", "bob")
    target = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    condition = normalize(torch.randn(2, 128, generator=torch.Generator().manual_seed(1)))
    first, second = (generator.generate(target, condition) for generator in generators)
    torch.testing.assert_close(second, first, atol=2e-3, rtol=0)
    with pytest.raises(OutputError, match="exists already"):
        pack_generator(path, packed)
