"""Recipe: everything that decides what a training computes; a TOML recipe or file in, a frozen, hashable value out.

    extends = "baseline"     # any recipe or file; what is not named stays as it is there
    mask = "face_hair"

The class itself is the recipe `baseline`.
"""

import difflib
import hashlib
import json
import math
import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from manifests.landmarks import TEMPLATES
from train.errors import RecipeError


def _number(default: float, low: float, high: float, meaning: str, training: bool = True) -> Any:
    """A whole or a real number, as the default is; `training` is False where it changes nothing that is learned."""
    return field(default=default, metadata={"low": low, "high": high, "meaning": meaning, "training": training})


def _choice(default: str, choices: tuple[str, ...], meaning: str) -> Any:
    """One of `choices`; anything where there are none."""
    return field(default=default, metadata={"choices": choices, "meaning": meaning, "training": True})


@dataclass(frozen=True)
class Recipe:
    """One way to train. `dataclasses.fields(Recipe)` carries each key's meaning and what it may be.

    Raises RecipeError for a value of another type, out of range, or that does not go with the others.
    """

    size: int = _number(224, 32, 1024, "px, side of the crops that are trained on; shrunk from the template's")
    template: str = _choice("simswap-224", tuple(TEMPLATES), "alignment that the dataset's crops must have")
    embedder: str = _choice(
        "dataset", (), "face embedder: dataset (its own), auto, builtin, buffalo_l, buffalo_s, a file"
    )
    centre_above: float = _number(
        0.5, 0, 1, "the mean latent is taken off all latents where it is longer than this; 1 never"
    )

    generator: str = _choice(
        "simswap", (), "simswap: AdaIN blocks; compact: a small one; diffusion: DDPM in a narrow bottleneck"
    )
    convolution: str = _choice(
        "standard",
        ("standard", "separable", "modulated", "dynamic"),
        "convolutions of the generator's up and down path (compact: of the up path)",
    )
    variant: str = _choice(
        "224", ("224", "deep", "512"), "simswap: three halvings; deep a fourth one; 512 as the published 512 checkpoint"
    )
    blocks: int = _number(9, 1, 64, "identity blocks")
    width: int = _number(64, 4, 512, "channels after the generator's first layer")
    io_space: str = _choice("rgb01_tanh", ("rgb01_tanh", "imagenet"), "pixel values that the generator takes and gives")
    output: str = _choice(
        "image", ("image", "change"), "what the generator's last layer gives: the image, or what is added to the target"
    )
    shrink: int = _number(
        1, 1, 8, "with output change: the target is averaged over so many px before G, and G's change enlarged as much"
    )
    identity_map: int = _number(
        0, 0, 256, "channels of a map, linear in the latent, that is added in the up path; 0 none, as published"
    )
    images_per_block: int = _number(
        0, 0, 10**12, "progressive: images after which one more block opens and the earlier ones freeze; 0 opens all"
    )
    condition_shrink: int = _number(
        1, 1, 64, "diffusion: px of the blocks that hide who the condition shows; 1 hides nothing"
    )
    teacher: str = _choice(
        "", (), "diffusion: checkpoint whose generator makes the condition, a swapped target; or none"
    )
    discriminator_width: int = _number(64, 4, 512, "channels after the discriminator's first layer")
    discriminator_scales: int = _number(2, 1, 4, "discriminators, each at half the resolution of the one before")

    mask: str = _choice("none", ("none", "box", "face", "face_hair"), "detection box, or part of the label map")
    masked: str = _choice(
        "discriminator",
        ("discriminator", "input"),
        "what is masked: what D sees, or what G sees, its background put back",
    )

    adversarial: float = _number(1.0, 0, 1e6, "weight of -mean D(fake)")
    identity: float = _number(30.0, 0, 1e6, "weight of 1 - cos(embedding of the fake, latent)")
    feature_matching: float = _number(10.0, 0, 1e6, "weight of weak feature matching")
    reconstruction: float = _number(10.0, 0, 1e6, "weight of |fake - target| where source and target are one person")
    noise: float = _number(10.0, 0, 1e6, "diffusion: weight of the predicted noise's squared error")
    gradient_penalty: float = _number(
        0.0, 0, 1e6, "weight of the gradient penalty on D between real and fake; 0 is none"
    )

    images: int = _number(8_000_000, 1, 10**12, "target images that the generator is trained on in all")
    batch: int = _number(16, 1, 4096, "images of an update")
    accumulate: int = _number(
        1, 1, 1024, "parts that a batch is computed in: one after another, to save memory, or on several processes"
    )
    discriminator_batch: str = _choice(
        "same",
        ("same", "fresh"),
        "what D learns from: G's batch and the fakes made there, or, as published, a batch of its own",
    )
    learning_rate: float = _number(4e-4, 0, 1, "of Adam, for both networks")
    latent_rate: float = _number(
        1.0, 0, 1000, "times the learning rate for layers that read the latent, whose numbers are small"
    )
    beta1: float = _number(0.0, 0, 0.9999, "of Adam")
    beta2: float = _number(0.99, 0, 0.99999, "of Adam")
    ema_images: float = _number(
        10_000, 0, 1e9, "images after which a weight counts half in the generator's moving average"
    )
    same_person: float = _number(0.5, 0, 1, "share of the steps whose source and target are one person")
    flip: float = _number(0.5, 0, 1, "share of the targets that are mirrored")
    held_out: float = _number(0.0, 0, 0.9, "share of the people, chosen by name, who are never trained on")
    seed: int = _number(0, 0, 2**31 - 1, "of everything random")

    log_steps: int = _number(50, 1, 10**9, "steps between two lines of the log", training=False)
    sample_images: int = _number(20_000, 1, 10**12, "images between two sample grids", training=False)
    checkpoint_images: int = _number(50_000, 1, 10**12, "images between two checkpoints", training=False)
    checkpoints: int = _number(2, 1, 10**6, "newest checkpoints that are kept", training=False)

    def __post_init__(self) -> None:
        for entry in fields(self):
            _check(entry.name, getattr(self, entry.name), "Recipe")
        side = TEMPLATES[self.template].size[0]
        step = (8 if self.variant == "224" else 16) * self.shrink
        if self.size % step or self.size > side:
            raise RecipeError(
                f"size = {self.size} must be a multiple of {step} and at most {side}, the side of {self.template}"
            )
        if self.size < 48 * 2 ** (self.discriminator_scales - 1):
            raise RecipeError(
                f"discriminator_scales = {self.discriminator_scales} needs crops of "
                f"{48 * 2 ** (self.discriminator_scales - 1)} px, size is {self.size}: take fewer scales"
            )
        if self.batch % self.accumulate:
            raise RecipeError(f"batch = {self.batch} cannot be computed in accumulate = {self.accumulate} equal parts")
        if self.masked == "input" and self.mask == "none":
            raise RecipeError('masked = "input" needs a mask: set mask to box, face or face_hair')
        if self.shrink > 1 and self.output != "change":
            raise RecipeError(f'shrink = {self.shrink} loses details that only output = "change" keeps: set output')
        if self.generator == "diffusion" and (self.condition_shrink == 1) == (self.teacher == ""):
            raise RecipeError(
                "diffusion needs a condition without the target's identity: either a teacher (a checkpoint) or "
                f"condition_shrink above 1, not both; now {self.teacher!r} and {self.condition_shrink}"
            )
        if self.teacher and self.batch == self.accumulate:
            raise RecipeError(
                "a teacher swaps each target with the next one's identity: a batch in parts of one image has no next "
                "one; take fewer parts or processes, or a larger batch"
            )
        if self.generator == "diffusion" and (self.masked == "input" or self.same_person < 1):
            raise RecipeError(
                'diffusion learns from photos of one person: set same_person = 1, masked = "discriminator"'
            )
        _check_generator(self)

    @property
    def alpha_follows_images(self) -> bool:
        """Whether `images` changes what a step computes: the mask's schedule is a share of it."""
        return self.mask != "none"

    def sha256(self) -> str:
        """Hash of all that decides what is learned, 64 hex digits."""
        told = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.metadata["training"]}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def differences(self, other: dict[str, Any]) -> list[str]:
        """What keeps this recipe from continuing a training by the values `other`, 'key: theirs, here mine' each.

        A longer training may continue a shorter one where nothing depends on the total.
        """
        mine = asdict(self)
        free = {entry.name for entry in fields(self) if not entry.metadata["training"]}
        if not self.alpha_follows_images:
            free.add("images")
        names = [name for name in dict.fromkeys([*mine, *other]) if name not in free]
        return [
            f"{name}: {other.get(name)!r}, here {mine.get(name)!r}"
            for name in names
            if other.get(name) != mine.get(name)
        ]

    def describe(self) -> list[str]:
        """One line for each key: name, value, meaning."""
        return [f"{e.name:<21} {_shown(getattr(self, e.name)):<14} {e.metadata['meaning']}" for e in fields(self)]


def _check_generator(recipe: Recipe) -> None:
    """Raise RecipeError for an unknown generator, or for a key that the generator does not accept."""
    # Imported late: an unknown recipe or key is refused before torch is loaded.
    from train.networks.registry import generator_entry, generator_keys, generator_names

    names = generator_names()
    if recipe.generator not in names:
        hint = _did_you_mean(recipe.generator, names)
        raise RecipeError(f"Recipe: generator = {recipe.generator!r} must be {' or '.join(names)}{hint}")
    accepted = generator_entry(recipe.generator).keys
    for name in sorted(generator_keys() - accepted):
        value, default = getattr(recipe, name), _FIELDS[name].default
        if value != default:
            raise RecipeError(
                f"{name} = {value!r} has no effect with generator = {recipe.generator!r}, which accepts "
                f"{', '.join(sorted(accepted))}: remove it"
            )


_FIELDS = {entry.name: entry for entry in fields(Recipe)}


def recipes() -> tuple[str, ...]:
    """Names of the recipes that ship with the program, sorted."""
    folder = files("train") / "recipes"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_recipe(name_or_path: str | Path, **changes: Any) -> Recipe:
    """Name of a recipe, or path of a TOML file -> Recipe, with `changes` on top (None changes nothing).

    Raises RecipeError naming the file, the key and the mend.
    """
    values = _collect(str(name_or_path), base=Path(), seen=())
    return replace(Recipe(), **values | {key: value for key, value in changes.items() if value is not None})


def _collect(name: str, base: Path, seen: tuple[str, ...]) -> dict[str, Any]:
    """Values that a recipe or file sets, those that it extends beneath them."""
    if name in seen:
        raise RecipeError(f"recipes extend each other in a circle: {' -> '.join((*seen, name))}; remove one `extends`")
    text, place, folder = _read(name, base)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{place}: not valid TOML: {error}") from error
    extends = table.pop("extends", None)
    if extends is not None and not isinstance(extends, str):
        raise RecipeError(f"{place}: extends = {extends!r} must be the name of a recipe or a path")
    for key, value in table.items():
        _check(key, value, place)
    return (_collect(extends, folder, (*seen, name)) if extends else {}) | table


def _read(name: str, base: Path) -> tuple[str, str, Path]:
    """Text of a recipe or file, how to call it in a message, and the folder that its own paths start from."""
    if name in recipes():
        return (files("train") / "recipes" / f"{name}.toml").read_text(encoding="utf-8"), f"recipe {name}", base
    path = base / name
    if not path.is_file():
        raise RecipeError(
            f"no recipe {name!r}: neither one of {', '.join(recipes())} nor a file{_did_you_mean(name, recipes())}"
        )
    try:
        return path.read_text(encoding="utf-8"), str(path), path.parent
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 text; save it as UTF-8") from error


def _check(name: str, value: object, place: str) -> None:
    if name not in _FIELDS:
        hint = _did_you_mean(name, tuple(_FIELDS)) or f"; known: extends, {', '.join(_FIELDS)}"
        raise RecipeError(f"{place}: unknown key {name!r}{hint}")
    entry = _FIELDS[name]
    if isinstance(entry.default, str):
        choices = entry.metadata["choices"]
        if not isinstance(value, str) or (choices and value not in choices):
            hint = _did_you_mean(str(value), choices)
            raise RecipeError(f"{place}: {name} = {value!r} must be {' or '.join(choices) or 'text'}{hint}")
        return
    whole = isinstance(entry.default, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise RecipeError(f"{place}: {name} = {value!r} must be a {'whole ' if whole else ''}number")
    low, high = entry.metadata["low"], entry.metadata["high"]
    if not (math.isfinite(value) and low <= value <= high):
        raise RecipeError(f"{place}: {name} = {value} is out of range; give {low:g} to {high:g}")


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _did_you_mean(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
