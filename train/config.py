"""Recipe: everything that decides what a training computes, and the TOML files that name it.

extends = "tiny"         # a recipe or a file; keys that are not set keep its values
mask = "face_hair"
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from curate.typed_toml import Key, Presets, TypedToml, choice, number, toml_literal
from manifests.landmarks import TEMPLATES
from train.errors import RecipeError


@dataclass(frozen=True)
class Recipe(TypedToml):
    """Settings of a training. The defaults are the recipe `baseline`: SimSwap at 224 px as in its paper's code.

    That is Adam with 2e-4 and momentum .5, identity weight 20, RGB in [0, 1] and two PatchGANs. Two settings differ: D
    is trained on the fakes of G's own step (`discriminator_batch = "fresh"` generates new ones), and the gradient
    penalty of weight 1e-5, which the paper has and its code has not, is 0. The recipe `later-code` has the settings of
    the training code that was published later.

    Raises RecipeError for a value of another type, out of range, or in conflict with another key.
    """

    error: ClassVar = RecipeError

    # Data
    size: int = number(224, 32, 1024, "side of the crops; time and memory grow with its square", "px")
    template: str = choice(
        "simswap-224", tuple(TEMPLATES), "alignment of the dataset's crops, which are resized to size"
    )
    embedder: str = choice(
        "dataset",
        (),
        "face embedder: dataset (its measurements'), auto, builtin, buffalo_l, buffalo_s, simswap-arcface, a file",
    )
    centre_above: float = number(
        0.5, 0, 1, "subtract the mean latent from all latents if its length is above this; 1 never subtracts it"
    )
    same_person: float = number(
        0.5, 0, 1, "share of the steps whose source and target are one person; more favours reconstruction"
    )
    flip: float = number(0.5, 0, 1, "share of the targets that are mirrored")
    held_out: float = number(
        0.05, 0, 0.9, "share of the people, chosen by the hash of their names, who are never trained on"
    )
    held_out_photos: float = number(
        0.0, 0, 0.9, "share of each person's photos, chosen by the hash of their ids, that are never trained on"
    )
    seed: int = number(0, 0, 2**31 - 1, "seed of all random numbers")

    # Generator
    generator: str = choice(
        "simswap",
        (),
        "simswap: AdaIN blocks; compact: a small one; diffusion: DDPM in a narrow bottleneck; people: of a few people; "
        "general: of people never seen, whose crop it reads",
    )
    blocks: int = number(9, 1, 64, "identity blocks; more carry more identity and cost more time")
    width: int = number(64, 4, 512, "channels after the generator's first layer; time grows with its square")
    convolution: str = choice(
        "standard",
        ("standard", "separable", "modulated", "dynamic", "conditional"),
        "convolutions of the encoder and the decoder",
    )
    variant: str = choice(
        "224",
        ("224", "deep", "512"),
        "simswap: 224 has three halvings, deep a fourth one, 512 those of the published 512 checkpoint",
    )
    io_space: str = choice("rgb01_tanh", ("rgb01_tanh", "imagenet"), "pixel values that the generator reads and writes")
    output: str = choice(
        "image", ("image", "change"), "output of the last layer: the image, or a change that is added to the target"
    )
    shrink: int = number(
        1, 1, 8, "with output change: compute it at 1 / shrink of the resolution; faster, and no finer than that", "px"
    )
    identity_map: int = number(
        0, 0, 256, "channels of a map, linear in the latent, that is added in the decoder; 0, as published, has none"
    )
    block_share: float = number(
        0.0, 0, 1, "progressive: open one more block after each such share of images, freeze earlier ones; 0 opens all"
    )
    condition_shrink: int = number(
        1, 1, 64, "diffusion: average the condition over such blocks to hide its identity; 1 hides nothing", "px"
    )
    teacher: str = choice("", (), "checkpoint of a larger generator to distil; of diffusion: that makes the condition")

    people: str = choice(
        "", (), "people: names separated by commas; empty takes everyone of the dataset with enough photos"
    )
    bottleneck: int = number(
        96, 1, 4096, "people, general: numbers of the code; more keep more of the target, its identity too"
    )
    half_size_images: int = number(
        0, 0, 10**12, "people: train at half of size for so many images first, which is faster"
    )
    refine_images: int = number(
        0, 0, 10**12, "people, general: train by reconstruction alone for so many images, then with all losses"
    )
    warp: float = number(
        0.045,
        0,
        0.2,
        "people, general: deviation of the input's distortion, in sides of the crop; more hides more of its shape",
    )

    # Discriminator and masks
    discriminator_width: int = number(64, 4, 512, "channels after the discriminator's first layer")
    discriminator_scales: int = number(2, 1, 4, "discriminators, each at half the resolution of the one before")
    mask: str = choice("none", ("none", "box", "face", "face_hair"), "detection box, or a part of the label map")
    masked: str = choice(
        "discriminator", ("discriminator", "input"), "input that is masked: D's, or G's (its background is put back)"
    )

    # Losses
    adversarial: float = number(1.0, 0, 1e6, "weight of -mean D(fake); more gives sharper images and less stability")
    identity: float = number(
        20.0, 0, 1e6, "weight of 1 - cos(embedding of the fake, latent); more keeps less of the target"
    )
    feature_matching: float = number(
        10.0, 0, 1e6, "weight of weak feature matching; more keeps more of the target's attributes"
    )
    reconstruction: float = number(
        10.0, 0, 1e6, "weight of |fake - target| where source and target are one person; more keeps more of the target"
    )
    structure: float = number(1.0, 0, 1e6, "people, general: weight of 1 - SSIM; more gives sharper edges")
    features: float = number(
        4.0,
        0,
        100,
        "people, general: additional weight of eyes and mouth in the reconstruction; more draws them more precisely",
    )
    consistency: float = number(
        0.5, 0, 1e6, "people, general: weight of the distance of the codes of target and swap; more keeps its look"
    )
    landmarks: float = number(
        0.0, 0, 1e6, "simswap: weight of the distance of the landmarks of target and swap; more keeps its pose"
    )
    anonymity: float = number(
        0.02, 0, 1e6, "people: weight of the loss that hides the person from the code; more keeps less of the target"
    )
    distillation: float = number(
        10.0, 0, 1e6, "with a teacher: weight of |fake - the teacher's swap|; more follows the teacher and its faults"
    )
    feature_distillation: float = number(
        1.0, 0, 1e6, "with a teacher: weight of the distance of attention maps; more follows the way it computes"
    )
    velocity: float = number(10.0, 0, 1e6, "diffusion: weight of the squared error of the predicted velocity")
    gradient_penalty: float = number(
        0.0, 0, 1e6, "weight of the gradient penalty on D between real and fake; stabilises and slows D; 0 is none"
    )

    # Optimisation
    images: int = number(8_000_000, 1, 10**12, "target images that the generator is trained on in all")
    batch: int = number(16, 1, 4096, "images of an update; larger batches give smoother gradients and use more memory")
    accumulate: int = number(
        1, 1, 1024, "parts in which a batch is computed, in sequence to save memory, or on several processes"
    )
    discriminator_batch: str = choice(
        "same",
        ("same", "fresh"),
        "training data of D: batch and fakes of G's update, or a fresh batch, as published",
    )
    learning_rate: float = number(2e-4, 0, 1, "of Adam, for both networks; larger learns faster and may diverge")
    latent_rate: float = number(
        1.0, 0, 1000, "factor on the learning rate of layers that read the latent, whose components are small"
    )
    beta1: float = number(0.5, 0, 0.9999, "of Adam: momentum")
    beta2: float = number(0.999, 0, 0.99999, "of Adam: average of squared gradients")
    ema_images: int = number(
        10_000, 0, 1e9, "half-life of the generator's moving average; longer is smoother and lags more", "images"
    )

    # Output of the run
    log_steps: int = number(50, 1, 10**9, "steps between two lines of the log", affects_result=False)
    sample_images: int = number(20_000, 1, 10**12, "images between two sample grids", affects_result=False)
    checkpoint_images: int = number(50_000, 1, 10**12, "images between two checkpoints", affects_result=False)
    checkpoints: int = number(2, 1, 10**6, "number of checkpoints to keep", affects_result=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        conflicts = [*self._size_conflicts(), *self._mask_conflicts(), *self._discriminator_conflicts()]
        conflicts += self._generator_conflicts()
        if conflicts:
            raise RecipeError(conflicts[0])

    def describe(self) -> list[Key]:
        """Return one row per key, in the order of declaration."""
        from train.networks.registry import generator_names

        names = ", ".join(generator_names())
        return [replace(key, accepted=names) if key.name == "generator" else key for key in super().describe()]

    @property
    def trains_discriminator(self) -> bool:
        """Whether a loss of the generator depends on the discriminator."""
        return self.adversarial > 0 or self.feature_matching > 0

    @property
    def is_coded(self) -> bool:
        """Whether the generator reconstructs faces from a narrow code (`train.networks.coded_recipe`)."""
        return self.generator in ("people", "general")

    @property
    def distils(self) -> bool:
        """Whether a teacher's swaps and features are learned; that of diffusion only makes the condition."""
        return bool(self.teacher) and self.generator != "diffusion"

    @property
    def follows_images(self) -> bool:
        """Whether `images` changes what a step computes: the mask's weight or the open blocks follow its share."""
        return self.block_share > 0 or (self.mask != "none" and not self.is_coded)

    def cautions(self) -> list[str]:
        """Lines on what has no or little effect in so few images."""
        lines = []
        for name, effect in (("half_size_images", "faces stay at half the size"), ("refine_images", "faces stay soft")):
            if self.is_coded and self.images <= getattr(self, name):
                lines.append(f"{name} = {getattr(self, name):,} is not reached in {self.images:,} images: {effect}")
        if self.block_share and self.images * self.block_share < 100 * self.batch:
            steps = int(self.images * self.block_share / self.batch)
            lines.append(f"block_share = {self.block_share} opens a block every {steps} steps: each hardly learns")
        if self.ema_images * 4 > self.images:
            lines.append(
                f"ema_images = {self.ema_images:,.0f} averages over much of {self.images:,} images: results lag behind "
                "the training; set it to a tenth"
            )
        return lines

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Keys that keep this recipe from continuing a training with the values `other`, as "key: other, here own".

        `images` may differ where no step depends on it, and keys that do not affect the result.
        """
        own = asdict(self)
        other = {entry.name: entry.default for entry in fields(self)} | dict(other)  # it may be older than a key
        ignored = {entry.name for entry in fields(self) if not entry.metadata.get("affects_result", True)}
        if not self.follows_images:
            ignored.add("images")
        names = [name for name in dict.fromkeys([*own, *other]) if name not in ignored]
        return [
            f"{name}: {other.get(name)!r}, here {own.get(name)!r}" for name in names if other.get(name) != own.get(name)
        ]

    def _size_conflicts(self) -> list[str]:
        side = TEMPLATES[self.template].size[0]
        multiple = (8 if self.variant == "224" else 16) * self.shrink
        smallest = 48 * 2 ** (self.discriminator_scales - 1)
        conflicts = []
        if self.size % multiple or self.size > side:
            conflicts.append(
                f"size = {self.size} must be a multiple of {multiple} and at most {side}, the side of {self.template}"
            )
        if self.size < smallest:
            conflicts.append(
                f"discriminator_scales = {self.discriminator_scales} needs crops of {smallest} px, and size is "
                f"{self.size}: use fewer scales"
            )
        if self.batch % self.accumulate:
            conflicts.append(f"batch = {self.batch} cannot be divided into accumulate = {self.accumulate} equal parts")
        if self.shrink > 1 and self.output != "change":
            conflicts.append(
                f'shrink = {self.shrink} would lose details, which only output = "change" keeps: set output'
            )
        return conflicts

    def _discriminator_conflicts(self) -> list[str]:
        if self.trains_discriminator:
            return []
        idle = {"gradient_penalty": 0.0, "discriminator_batch": "same"}
        return [
            f"{name} = {toml_literal(getattr(self, name))} has no effect without a discriminator: set adversarial or "
            "feature_matching above 0, or remove it"
            for name, default in idle.items()
            if getattr(self, name) != default
        ]

    def _mask_conflicts(self) -> list[str]:
        if self.masked == "input" and self.mask == "none":
            return ['masked = "input" needs a mask: set mask to box, face or face_hair']
        return []

    def _generator_conflicts(self) -> list[str]:
        conflicts = []
        if self.generator == "diffusion":
            if (self.condition_shrink == 1) == (self.teacher == ""):
                conflicts.append(
                    "diffusion needs a condition without the target's identity: either a teacher (a checkpoint) or "
                    f"condition_shrink above 1, not both; set are {self.teacher!r} and {self.condition_shrink}"
                )
            if self.teacher and self.batch == self.accumulate:
                conflicts.append(
                    "a teacher swaps each target with the identity of the next row, and parts of one image have no "
                    "next row: use fewer parts or processes, or a larger batch"
                )
            if self.masked == "input" or self.same_person < 1:
                conflicts.append(
                    'diffusion is trained on photos of one person: set same_person = 1 and masked = "discriminator"'
                )
        if self.is_coded:
            # Imported late, because it loads torch.
            from train.networks.coded_recipe import coded_conflicts

            conflicts += coded_conflicts(vars(self))
        return conflicts or self._ignored_keys() or self._distillation_conflicts()

    def _distillation_conflicts(self) -> list[str]:
        weights = {entry.name: entry.default for entry in fields(self) if "distillation" in entry.name}
        if self.distils and not any(getattr(self, name) for name in weights):
            return [f"a teacher has no effect with {' = 0 and '.join(weights)} = 0: set one, or remove it"]
        return [
            f"{name} = {getattr(self, name)} has no effect without a teacher: name a checkpoint, or remove it"
            for name, default in weights.items()
            if not self.teacher and getattr(self, name) != default
        ]

    def _ignored_keys(self) -> list[str]:
        """Messages for an unknown generator, or for keys that the generator does not accept."""
        # Imported late, so that unknown recipes and keys are refused before torch is loaded.
        from train.networks.registry import generator_entry, generator_keys, generator_names

        names = generator_names()
        if self.generator not in names:
            return [f"generator = {self.generator!r} must be {', '.join(names[:-1])} or {names[-1]}"]
        accepted = generator_entry(self.generator).keys
        defaults = {entry.name: entry.default for entry in fields(self)}
        return [
            f"{name} = {getattr(self, name)!r} has no effect with generator = {self.generator!r}, which accepts "
            f"{', '.join(sorted(accepted))}: remove it"
            for name in sorted(generator_keys() - accepted)
            if getattr(self, name) != defaults[name]
        ]


RECIPES = Presets(Recipe, "recipe", "train", "recipes", default="baseline")
"""The recipes that ship with the program; `RECIPES.names()` lists them."""


def load_recipe(name_or_path: str | Path, **changes: Any) -> Recipe:
    """Load a recipe by name, or from a TOML file; `changes` replace its values (None keeps them).

    Raises RecipeError with the file, the key and a remedy.
    """
    return RECIPES.load(name_or_path, **changes)
