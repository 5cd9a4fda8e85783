"""The command `simswap import`. Heavy modules are imported inside the command."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class IoSpace(StrEnum):
    """Pixel values that a generator reads and writes."""

    rgb01_tanh = "rgb01_tanh"
    imagenet = "imagenet"


def import_weights(
    weights: Annotated[Path, typer.Argument(help="Weights of a published SimSwap generator, a PyTorch state dict.")],
    out: Annotated[Path, typer.Option(help="Checkpoint to write; it must not exist.")],
    embedder: Annotated[
        str,
        typer.Option(
            help="Face embedder that it was trained with: simswap-arcface for the published ones, builtin, buffalo_l, "
            "buffalo_s or a file."
        ),
    ],
    io_space: Annotated[
        IoSpace,
        typer.Option(help="rgb01_tanh: the published 224 and 512 weights; imagenet: those of the later training code."),
    ] = IoSpace.rgb01_tanh,
) -> None:
    """Make a checkpoint of the weights of a published SimSwap generator, for swap, evaluate, export and fit --start.

    The variant (224, 512, deep), its width and its blocks are recognised. The file records neither pixel values nor
    embedder: with the wrong ones, colours or faces are wrong without an error.

    Example: simswap import latest_net_G.pth --embedder simswap-arcface --out simswap-224.safetensors
    """
    from train.published import import_published

    facts = import_published(weights, out, embedder, io_space.value)
    recipe = facts.recipe
    print(f"{out}: variant {recipe.variant}, {recipe.blocks} blocks, width {recipe.width}, {recipe.size} px")
    print(f"embedder {facts.embedder_id}, pixel values {recipe.io_space}: look at a swap before you rely on them")
