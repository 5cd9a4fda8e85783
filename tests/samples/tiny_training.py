"""A training small enough for tests: the demo's faces at 64 px, two identity blocks, eight channels, a few steps."""

from pathlib import Path

RECIPE = """
size = 64
width = 8
blocks = 2
discriminator_width = 8
discriminator_scales = 1
batch = 4
images = 24
log_steps = 1
sample_images = 24
checkpoint_images = 4
checkpoints = 9
"""


def write_recipe(folder: Path, text: str = "") -> Path:
    """`folder`/small.toml: the recipe above with the lines of `text` in place of its own."""
    changed = {line.split("=")[0].strip() for line in text.splitlines()}
    kept = [line for line in RECIPE.splitlines() if line.split("=")[0].strip() not in changed]
    path = folder / "small.toml"
    path.write_text("\n".join([*kept, text]), encoding="utf-8")
    return path
