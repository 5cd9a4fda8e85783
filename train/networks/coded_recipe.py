"""Conflicts between the keys of a recipe for generators that reconstruct faces from a narrow code."""

from collections.abc import Mapping
from typing import Any

from curate.typed_toml import toml_literal
from train.networks.person_layers import decoder_side


def coded_conflicts(recipe: Mapping[str, Any]) -> list[str]:
    """Messages on the keys of a recipe of generator `people` or `general`; empty where all fit."""
    name, size = recipe["generator"], recipe["size"]
    conflicts = []
    if decoder_side(size) is None:
        conflicts.append(f"size = {size} must be 4, 5, 6 or 7 times a power of 2 with generator {name}, as 64 or 96")
    if recipe["refine_images"] < recipe["half_size_images"]:
        conflicts.append(
            f"refine_images = {recipe['refine_images']} must not be below half_size_images = "
            f"{recipe['half_size_images']}: the refining losses are computed at full size"
        )
    fixed: dict[str, float | str] = {"same_person": 1, "masked": "discriminator"}
    reason = "general is trained to reconstruct photos from others of the same person, and masks no input"
    if name == "people":
        fixed["held_out"] = 0
        reason = (
            "people is trained on each person's photos, and everyone is in the training (held_out_photos holds out "
            "photos)"
        )
    wrong = [f"{key} = {toml_literal(value)}" for key, value in fixed.items() if recipe[key] != value]
    if wrong:
        conflicts.append(f"{reason}: set {', '.join(wrong)}")
    return conflicts
