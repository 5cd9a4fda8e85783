"""SimSwap's generator: equal to a reference in plain operations, published names and sizes, progressive injection."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.samples.generators import faces, simswap
from train.complexity import measure, parameters
from train.networks.identity_injection import IdentityBlock
from train.networks.simswap import SimSwapGenerator


def published_names(blocks: int = 9) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a published 224 checkpoint."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, channels_in: int, channels_out: int, kernel: int) -> None:
        shapes[f"{name}.weight"] = (channels_out, channels_in, kernel, kernel)
        shapes[f"{name}.bias"] = (channels_out,)

    def batch_norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    convolution("first_layer.1", 3, 64, 7)
    batch_norm("first_layer.2", 64)
    for level in (1, 2, 3):
        convolution(f"down{level}.0", 32 << level, 64 << level, 3)
        batch_norm(f"down{level}.1", 64 << level)
        convolution(f"up{level}.1", 64 << level, 32 << level, 3)
        batch_norm(f"up{level}.2", 32 << level)
    for block in range(blocks):
        for half in (1, 2):
            convolution(f"BottleNeck.{block}.conv{half}.1", 512, 512, 3)
            shapes[f"BottleNeck.{block}.style{half}.linear.weight"] = (1024, 512)
            shapes[f"BottleNeck.{block}.style{half}.linear.bias"] = (1024,)
    convolution("last_layer.1", 64, 3, 7)
    return shapes


def reference(state: dict[str, Tensor], target: Tensor, latent: Tensor, *, tanh: bool) -> Tensor:
    """The architecture in plain operations on the tensors of a state dict, without any module of the project."""

    def conv(x: Tensor, name: str, **options: int) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = (state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var"))
        gain, bias = (state[f"{name}.{part}"][:, None, None] for part in ("weight", "bias"))
        return ((x - mean) / torch.sqrt(var + 1e-5) * gain + bias).clamp(min=0)

    def adain(x: Tensor, name: str) -> Tensor:
        x = x - x.mean((2, 3), keepdim=True)
        x = x * torch.rsqrt((x * x).mean((2, 3), keepdim=True) + 1e-8)
        style = latent @ state[f"{name}.linear.weight"].T + state[f"{name}.linear.bias"]
        channels = x.shape[1]
        return x * (style[:, :channels, None, None] + 1) + style[:, channels:, None, None]

    x = norm(conv(F.pad(target, (3, 3, 3, 3), mode="reflect"), "first_layer.1"), "first_layer.2")
    for level in (1, 2, 3):
        x = norm(conv(x, f"down{level}.0", stride=2, padding=1), f"down{level}.1")
    for block in range(sum(name.endswith("conv1.1.bias") for name in state)):
        name = f"BottleNeck.{block}"
        y = conv(F.pad(x, (1, 1, 1, 1), mode="reflect"), f"{name}.conv1.1")
        y = adain(y, f"{name}.style1").clamp(min=0)
        y = conv(F.pad(y, (1, 1, 1, 1), mode="reflect"), f"{name}.conv2.1")
        x = x + adain(y, f"{name}.style2")
    for level in (3, 2, 1):
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = norm(conv(x, f"up{level}.1", padding=1), f"up{level}.2")
    x = conv(F.pad(x, (3, 3, 3, 3), mode="reflect"), "last_layer.1")
    return (torch.tanh(x) + 1) / 2 if tanh else x


def scrambled(generator: nn.Module) -> nn.Module:
    """Random running statistics and affine weights, so that a test notices if one is left out."""
    for name, tensor in generator.state_dict().items():
        if tensor.dtype.is_floating_point and tensor.ndim == 1:
            tensor.copy_(torch.rand_like(tensor) + (0.5 if name.endswith("var") else 0))
    return generator


@pytest.mark.parametrize("io_space", ["rgb01_tanh", "imagenet"])
def test_forward_equals_the_reference(io_space: str) -> None:
    generator = scrambled(simswap(io_space=io_space)).eval()
    target, latent = faces()
    with torch.no_grad():
        expected = reference(generator.state_dict(), target, latent, tanh=io_space == "rgb01_tanh")
        assert expected.std() > 1e-3
        torch.testing.assert_close(generator(target, latent), expected, rtol=1e-4, atol=1e-5)
        generator = generator.to(memory_format=torch.channels_last)
        image = generator(target.contiguous(memory_format=torch.channels_last), latent)
        torch.testing.assert_close(image, expected, rtol=1e-4, atol=1e-5)


def test_names_and_shapes_of_the_state_dict_are_the_published_ones() -> None:
    shapes = published_names()
    assert len(shapes) == 123
    with torch.device("meta"):
        generator = SimSwapGenerator()
    assert {name: tuple(tensor.shape) for name, tensor in generator.state_dict().items()} == shapes


@pytest.mark.parametrize(
    ("variant", "size", "count", "giga_macs"),
    [("224", 224, 55_051_779, 48.1), ("deep", 512, 59_773_443, 133), ("512", 512, 55_079_427, None)],
)
def test_parameters_and_macs_of_the_published_variants(
    variant: str, size: int, count: int, giga_macs: float | None
) -> None:
    with torch.device("meta"):
        generator = SimSwapGenerator(variant=variant)  # type: ignore[arg-type]
    assert parameters(generator) == count
    if giga_macs:
        cost = measure(generator, (1, 3, size, size), (1, 512))
        assert round(cost.macs / 1e9, 1 if giga_macs < 100 else None) == giga_macs


def test_seven_tenths_of_the_cost_are_the_identity_blocks() -> None:
    with torch.device("meta"):
        block = measure(IdentityBlock(512, 512), (1, 512, 28, 28), (1, 512))
        whole = measure(SimSwapGenerator(), (1, 3, 224, 224), (1, 512))
    assert 0.68 < 9 * block.macs / whole.macs < 0.70


def test_opening_a_block_changes_no_output_and_the_earlier_ones_freeze() -> None:
    generator = simswap(blocks=3, block_share=0.25, images=400)
    target, latent = faces()
    generator.set_progress(0)
    before = generator.eval()(target, latent)
    generator.set_progress(100)
    assert generator.active_blocks == 2
    torch.testing.assert_close(generator(target, latent), before, rtol=0, atol=0)

    generator.train()
    moments = generator.first_layer[2].running_mean.clone()  # type: ignore[operator]
    generator(target, latent).square().sum().backward()
    learning = {
        name.split(".")[0] if "Bott" not in name else name[:12]
        for name, p in generator.named_parameters()
        if p.grad is not None
    }
    assert learning == {"BottleNeck.1", "up3", "up2", "up1", "last_layer"}
    assert torch.equal(generator.first_layer[2].running_mean, moments)  # type: ignore[arg-type]


def test_all_blocks_learn_unless_frozen() -> None:
    generator = simswap(blocks=3)
    generator.set_progress(10**9)
    assert generator.active_blocks == 3
    assert all(parameter.requires_grad for parameter in generator.parameters())
    with pytest.raises(ValueError, match="1 to 3, got 4"):
        generator.active_blocks = 4
    with pytest.raises(ValueError, match="0 to 3, got 4"):
        generator.freeze_before(4)


@pytest.mark.parametrize(("images", "active"), [(0, 1), (99, 1), (100, 2), (250, 3), (9999, 3)])
def test_one_more_block_is_open_every_so_many_images(images: int, active: int) -> None:
    generator = simswap(blocks=3, block_share=0.25, images=400)
    generator.set_progress(images)
    assert generator.active_blocks == active
    frozen = [not any(p.requires_grad for p in block.parameters()) for block in generator.BottleNeck]
    assert frozen == [index != active - 1 for index in range(3)]
