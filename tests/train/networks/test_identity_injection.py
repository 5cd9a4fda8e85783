"""Instance normalisation, identity blocks and the identity map."""

import torch
import torch.nn.functional as F

from tests.samples.generators import faces, simswap
from train.networks.identity_injection import IdentityBlock, instance_norm


def test_instance_norm_survives_half_precision() -> None:
    """In float16 1e-8 is 0, and a flat channel would become NaN."""
    flat = torch.full((1, 2, 4, 4), 0.5, dtype=torch.float16)
    assert torch.equal(instance_norm(flat), torch.zeros(1, 2, 4, 4))
    faint = torch.randn(1, 1, 8, 8) * 1e-3
    with torch.autocast("cpu", torch.bfloat16):
        normal = instance_norm(faint)
    torch.testing.assert_close(normal.var(correction=0), torch.tensor(1e-6 / (1e-6 + 1e-8) * 1.0), atol=0.02, rtol=0)


def test_a_new_block_shows_people_apart() -> None:
    torch.manual_seed(7)
    block = IdentityBlock(8, 512)
    x = torch.randn(1, 8, 8, 8)
    one, other = F.normalize(torch.randn(2, 1, 512), dim=2)
    assert (block(x, one) - block(x, other)).std() > 0.1


def test_the_identity_map_depends_on_position_and_identity_and_fits_any_size() -> None:
    generator = simswap(identity_map=2)
    assert generator.identity_map is not None
    layer = generator.identity_map
    flat = torch.zeros(2, 8, 48, 48)
    with torch.no_grad():
        first, second = layer(flat, faces()[1]) - layer.mix.bias[:, None, None]
        doubled = layer(flat, 2 * faces()[1])[0] - layer.mix.bias[:, None, None]
    assert (first - second).abs().mean() > 0.1 * first.abs().mean()
    assert first.std((1, 2)).min() > 0
    torch.testing.assert_close(doubled, 2 * first)
