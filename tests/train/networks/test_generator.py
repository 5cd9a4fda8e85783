"""The generator against a plain reference, the published names, sizes and costs, and every way to build it."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curate.errors import ModelError
from train.complexity import Complexity, measure, parameters
from train.networks.compact import CompactGenerator, SpatiallyVarying
from train.networks.convolutions import CONVOLUTIONS, Dynamic, Modulated
from train.networks.generator import FaceGenerator, Generator
from train.networks.identity_injection import IdentityBlock, Progression, instance_norm


def published_names(blocks: int = 9) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a published 224 checkpoint, from the architecture's table."""
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
    """The architecture in plain operations on a state dict's tensors: no module of the project takes part."""

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


def tiny(**options: object) -> Generator:
    torch.manual_seed(1)
    defaults: dict[str, object] = {"latent_dim": 16, "blocks": 2, "width": 4}
    return Generator(**{**defaults, **options})  # type: ignore[arg-type]


def scrambled(generator: nn.Module) -> nn.Module:
    """Running statistics and affine weights that are not those of a fresh network, so that forgetting one shows."""
    for name, tensor in generator.state_dict().items():
        if tensor.dtype.is_floating_point and tensor.ndim == 1:
            tensor.copy_(torch.rand_like(tensor) + (0.5 if name.endswith("var") else 0))
    return generator


def faces(count: int = 2, size: int = 32, latent_dim: int = 16) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(2)
    latent = F.normalize(torch.randn(count, latent_dim, generator=random))
    return torch.rand(count, 3, size, size, generator=random), latent


@pytest.mark.parametrize("io_space", ["rgb01_tanh", "imagenet"])
def test_forward_equals_the_reference(io_space: str) -> None:
    generator = scrambled(tiny(io_space=io_space)).eval()
    target, latent = faces()
    with torch.no_grad():
        expected = reference(generator.state_dict(), target, latent, tanh=io_space == "rgb01_tanh")
        assert expected.std() > 1e-3
        torch.testing.assert_close(generator(target, latent), expected, rtol=1e-4, atol=1e-5)
        last = generator.to(memory_format=torch.channels_last)
        there = last(target.contiguous(memory_format=torch.channels_last), latent)
        torch.testing.assert_close(there, expected, rtol=1e-4, atol=1e-5)


def test_published_names_and_shapes_load_strictly() -> None:
    shapes = published_names()
    assert len(shapes) == 123
    with torch.device("meta"):
        generator = Generator()
        assert {name: tuple(tensor.shape) for name, tensor in generator.state_dict().items()} == shapes
    small = tiny()
    state = {name: torch.rand_like(t) if t.is_floating_point() else t for name, t in small.state_dict().items()}
    small.load_published(state, "imagenet")
    assert small.io_space == "imagenet"
    assert all(torch.equal(small.state_dict()[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("variant", "size", "count", "giga_macs"),
    [("224", 224, 55_051_779, 48.1), ("deep", 512, 59_773_443, 133), ("512", 512, 55_079_427, None)],
)
def test_parameters_and_macs_of_the_published_variants(
    variant: str, size: int, count: int, giga_macs: float | None
) -> None:
    with torch.device("meta"):
        generator = Generator(variant=variant)  # type: ignore[arg-type]
    assert parameters(generator) == count
    if giga_macs:
        cost = measure(generator, (1, 3, size, size), (1, 512))
        assert round(cost.macs / 1e9, 1 if giga_macs < 100 else None) == giga_macs


@cache
def cost_at_224(name: str) -> Complexity:
    with torch.device("meta"):
        network = CompactGenerator() if name == "compact" else Generator(convolution=name)  # type: ignore[arg-type]
    return measure(network, (16, 3, 224, 224), (16, 512))


def test_the_cheap_ones_are_cheap() -> None:
    assert cost_at_224("compact").macs < 5e9
    assert cost_at_224("separable").macs < 0.76 * cost_at_224("standard").macs


def test_seven_tenths_of_the_cost_are_the_identity_blocks() -> None:
    with torch.device("meta"):
        block = measure(IdentityBlock(512, 512), (1, 512, 28, 28), (1, 512))
    assert 0.68 < 9 * block.macs / cost_at_224("standard").macs < 0.70


def test_another_variant_is_refused_in_words() -> None:
    generator = tiny()
    with pytest.raises(ModelError, match=r"variant 'deep', width 4, 2 blocks.*this one is of variant '224'.*build Gen"):
        generator.load_published(tiny(variant="deep").state_dict(), "rgb01_tanh")
    with pytest.raises(ModelError, match="variant='512', width=4"):
        generator.load_published(tiny(variant="512").state_dict(), "rgb01_tanh")
    with pytest.raises(ModelError, match="latent_dim=24"):
        generator.load_published(tiny(latent_dim=24).state_dict(), "rgb01_tanh")
    with pytest.raises(ModelError, match="not a SimSwap generator's"):
        generator.load_published({"conv.weight": torch.zeros(1)}, "rgb01_tanh")
    short = generator.state_dict()
    del short["up1.1.bias"]
    with pytest.raises(ModelError, match=r"up1\.1\.bias"):
        generator.load_published(short, "rgb01_tanh")
    with pytest.raises(ModelError, match="unknown io_space 'bgr'"):
        generator.load_published(generator.state_dict(), "bgr")  # type: ignore[arg-type]
    assert generator.io_space == "rgb01_tanh"


@pytest.mark.parametrize("io_space", ["rgb01_tanh", "imagenet"])
@pytest.mark.parametrize("name", ["simswap", "compact"])
def test_a_change_is_added_to_the_target_and_small_at_first(name: str, io_space: str) -> None:
    torch.manual_seed(5)
    made: dict[str, FaceGenerator] = {
        "simswap": tiny(output="change", io_space=io_space),
        "compact": CompactGenerator(16, 2, 4, "standard", io_space, "change", code_dim=8),  # type: ignore[arg-type]
    }
    target, latent = faces()
    change = made[name](target, latent) - target
    assert 0 < change.abs().mean() < 0.05
    change[0].mean().backward()
    assert all(p.grad is not None for p in made[name].parameters())


def test_a_published_generator_gives_no_change_and_has_no_identity_map() -> None:
    with pytest.raises(ModelError, match="published generators give the image, this one 'change'"):
        tiny(output="change").load_published(tiny().state_dict(), "rgb01_tanh")
    with pytest.raises(ModelError, match="published generators have no identity map"):
        tiny(identity_map=2).load_published(tiny().state_dict(), "rgb01_tanh")


@pytest.mark.parametrize("name", ["simswap", "compact"])
def test_a_shrunk_target_is_changed_as_a_small_one_would_be(name: str) -> None:
    made: dict[str, FaceGenerator] = {
        "simswap": tiny(output="change", shrink=2),
        "compact": CompactGenerator(16, 2, 4, output="change", shrink=2, code_dim=8),
    }
    generator = made[name].eval()
    target, latent = faces(size=64)
    with torch.no_grad():
        change = generator(target, latent) - target
        small = F.avg_pool2d(target, 2)
        generator.shrink = 1
        smaller = generator(small, latent) - small
    torch.testing.assert_close(change, F.interpolate(smaller, scale_factor=2, mode="bilinear"), atol=1e-6, rtol=1e-4)
    with pytest.raises(ValueError, match="multiples of 16, got 40x40"):
        tiny(output="change", shrink=2)(faces(size=40)[0], latent)


def test_an_image_cannot_come_from_a_shrunk_target() -> None:
    with pytest.raises(ModelError, match="shrunk by 2 must give a change"):
        tiny(shrink=2)


def test_the_identity_map_tells_places_and_people_apart_and_fits_any_size() -> None:
    generator = tiny(identity_map=2)
    assert generator.identity_map is not None
    layer = generator.identity_map
    flat = torch.zeros(2, 8, 48, 48)
    with torch.no_grad():
        first, second = layer(flat, faces()[1]) - layer.mix.bias[:, None, None]
        doubled = layer(flat, 2 * faces()[1])[0] - layer.mix.bias[:, None, None]
    assert (first - second).abs().mean() > 0.1 * first.abs().mean()
    assert first.std((1, 2)).min() > 0
    torch.testing.assert_close(doubled, 2 * first)


def test_pixel_spaces() -> None:
    white = torch.ones(1, 3, 1, 1)
    plain, normalised = FaceGenerator(8, "rgb01_tanh"), FaceGenerator(8, "imagenet")
    assert torch.equal(plain.to_rgb01(plain.to_input(white)), white)
    torch.testing.assert_close(
        normalised.to_input(white).flatten(), torch.tensor([2.2489, 2.4286, 2.6400]), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(normalised.to_rgb01(normalised.to_input(white)), white)


def every() -> dict[str, FaceGenerator]:
    torch.manual_seed(3)
    made: dict[str, FaceGenerator] = {kind: tiny(convolution=kind) for kind in CONVOLUTIONS}
    made["deep"] = tiny(variant="deep")
    made["512"] = tiny(variant="512")
    made["shrunk and mapped"] = tiny(output="change", shrink=2, identity_map=2)
    made["compact"] = CompactGenerator(16, blocks=2, width=4, code_dim=8)
    return made


@pytest.mark.parametrize("name", [*CONVOLUTIONS, "deep", "512", "shrunk and mapped", "compact"])
def test_every_generator_learns_with_all_it_has_and_depends_on_both_inputs(name: str) -> None:
    generator = every()[name]
    target, latent = faces()
    target.requires_grad_()
    latent.requires_grad_()
    image = generator(target, latent)
    assert image.shape == target.shape
    (image * torch.rand_like(image)).sum().backward()
    for given in (target, latent, *generator.parameters()):
        assert given.grad is not None
        assert given.grad.isfinite().all()
    # A bias before a normalisation that takes the mean off learns nothing; an attention starts with zeros.
    idle = {n for n, p in generator.named_parameters() if p.grad is not None and not p.grad.any()}
    assert all("bias" in n or "attention.0" in n for n in idle), idle
    assert latent.grad is not None
    assert latent.grad.abs().max() > 0


@pytest.mark.parametrize("name", [*CONVOLUTIONS, "compact"])
def test_a_photo_does_not_depend_on_its_batch(name: str) -> None:
    generator = every()[name].eval()
    target, latent = faces(3)
    with torch.no_grad():
        together = generator(target, latent)
        alone = torch.cat([generator(target[i : i + 1], latent[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*CONVOLUTIONS, "compact"])
def test_autocast_and_channels_last_change_little(name: str) -> None:
    generator = every()[name].eval()
    target, latent = faces()
    with torch.no_grad():
        expected = generator(target, latent)
        generator = generator.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            image = generator(target.contiguous(memory_format=torch.channels_last), latent)
    assert image.dtype == torch.float32
    assert (image - expected).abs().mean() < 0.02


def test_instance_norm_survives_half_precision() -> None:
    """In float16 1e-8 is 0, and a flat channel would become NaN."""
    flat = torch.full((1, 2, 4, 4), 0.5, dtype=torch.float16)
    assert torch.equal(instance_norm(flat), torch.zeros(1, 2, 4, 4))
    faint = torch.randn(1, 1, 8, 8) * 1e-3
    with torch.autocast("cpu", torch.bfloat16):
        normal = instance_norm(faint)
    torch.testing.assert_close(normal.var(correction=0), torch.tensor(1e-6 / (1e-6 + 1e-8) * 1.0), atol=0.02, rtol=0)


def test_dynamic_is_a_mixture_of_kernels_and_checkpointing_changes_nothing() -> None:
    torch.manual_seed(4)
    layer = Dynamic(3, 5, 2, kernels=3)
    nn.init.normal_(layer.attention[2].weight)  # type: ignore[arg-type]
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    shares = layer.attention(x.mean((2, 3))).softmax(1)
    # Mixing the results of K convolutions, as the report did, is the same and K times as large.
    each = torch.stack(
        [F.conv2d(x, w, b, 2, 1) for w, b in zip(layer.weight.view(3, 5, 3, 3, 3), layer.bias, strict=True)], 1
    )
    expected = (each * shares[:, :, None, None, None]).sum(1)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
    (with_it,) = torch.autograd.grad(layer(x).square().sum(), layer.weight)
    layer.checkpointing = False
    (without,) = torch.autograd.grad(layer(x).square().sum(), layer.weight)
    torch.testing.assert_close(with_it, without)


def test_dynamic_keeps_no_more_than_standard_at_224() -> None:
    dynamic, standard = cost_at_224("dynamic"), cost_at_224("standard")
    assert dynamic.activation_bytes < 1.05 * standard.activation_bytes
    assert dynamic.training_bytes(16) < 6 * 2**30


def test_modulated_equals_a_kernel_for_each_person() -> None:
    torch.manual_seed(5)
    layer = Modulated(3, 5, 1, latent_dim=6)
    x, latent = torch.randn(2, 3, 8, 8), torch.randn(2, 6)
    kernels = layer.conv.weight[None] * layer.style(latent)[:, None, :, None, None]
    kernels = kernels / (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    expected = torch.cat([F.conv2d(x[i : i + 1], kernels[i], layer.conv.bias, padding=1) for i in range(2)])
    torch.testing.assert_close(layer(x, latent), expected, rtol=1e-4, atol=1e-5)


def test_the_spatially_varying_convolution_varies_in_space_and_with_the_person() -> None:
    torch.manual_seed(6)
    layer = SpatiallyVarying(4, 8)
    x = torch.randn(1, 4, 6, 6)
    one, other = torch.randn(2, 1, 8)
    change = (layer(x, one) - layer(x, other))[0].detach()
    assert change.abs().max() > 0.05
    # AdaIN would change every place of a channel by one affine function of the same normalised features.
    plain = F.conv2d(instance_norm(x), layer.weight, None, 1, 1, groups=4).view(4, 4, 6, 6).detach()
    for channel in range(4):
        inputs = torch.cat([plain[channel].flatten(1).T, torch.ones(36, 1)], 1)
        fitted = inputs @ torch.linalg.lstsq(inputs, change[channel].flatten()[:, None]).solution
        assert (fitted[:, 0] - change[channel].flatten()).abs().max() > 1e-3


def test_progressive_blocks_open_without_a_jolt_and_the_earlier_ones_are_frozen() -> None:
    generator = tiny(blocks=3, progressive=True)
    target, latent = faces()
    generator.active_blocks = 1
    before = generator.eval()(target, latent)
    generator.active_blocks = 2
    torch.testing.assert_close(generator(target, latent), before)

    generator.freeze_before(1)
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
    generator.freeze_before(0)
    generator.active_blocks = 3
    assert all(parameter.requires_grad for parameter in generator.parameters())
    with pytest.raises(ValueError, match="1 to 3, got 4"):
        generator.active_blocks = 4


def test_progression() -> None:
    progression = Progression(blocks=3, images_per_block=100)
    assert [progression.active(images) for images in (0, 99, 100, 250, 9999)] == [1, 1, 2, 3, 3]
    assert [progression.frozen(images) for images in (0, 100, 9999)] == [0, 1, 2]


def test_a_new_block_shows_people_apart() -> None:
    torch.manual_seed(7)
    block = IdentityBlock(8, 512)
    x = torch.randn(1, 8, 8, 8)
    one, other = F.normalize(torch.randn(2, 1, 512), dim=2)
    assert (block(x, one) - block(x, other)).std() > 0.1


def test_wrong_sizes_are_refused() -> None:
    target, latent = faces(size=20)
    with pytest.raises(ValueError, match="multiples of 8, got 20x20"):
        tiny()(target, latent)
    with pytest.raises(ValueError, match=r"latents must be \(2, 16\), got \(2, 4\)"):
        tiny()(faces()[0], latent[:, :4])
    with pytest.raises(ModelError, match="unknown convolution 'wavelet'"):
        tiny(convolution="wavelet")
