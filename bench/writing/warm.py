"""State that the children of `bench.kills` inherit, so that a trial is writing and not loading.

Modules are imported, and the built-in networks loaded, once. Three steps that compute and write nothing are made short:
generators are timed in the process itself, the demo has one photo, and its results have one mark ID.
"""

import importlib
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

from bench.writing.command import WritingCommand
from curate.faces.embedders import dlib_resnet
from curate.faces.segment import Segmenter
from train.ablate import timing
from train.demonstration import demo
from train.swap import plan


def share_networks() -> None:
    """Load the built-in networks; children use them."""
    load, load_segmenter = dlib_resnet.load_dlib_resnet, Segmenter.load
    dlib_resnet.load_dlib_resnet = cache(load)
    Segmenter.load = cache(load_segmenter)  # type: ignore[method-assign]
    dlib_resnet.load_dlib_resnet()
    Segmenter.load("cpu")


def shorten() -> None:
    """Replace what takes seconds and writes nothing."""
    timing.time_in_fresh_processes = lambda recipes, latent_dim, device: [
        timing.time_in_this_process(recipe, latent_dim, device) for recipe in recipes
    ]
    demo.PHOTOS = {"astronaut": demo.PHOTOS["astronaut"]}
    plan.new_mark_id = lambda: 0xBEEF


def import_modules_of(command: WritingCommand, inputs: Path, folder: Path) -> None:
    """Run a command once, and import the modules that it has imported."""
    out, modules = folder / "imported", folder / "modules.txt"
    if command.before:
        command.before(inputs, out)
    os.waitpid(command.spawn(inputs, out, folder / "log.txt", modules), 0)
    for name in modules.read_text(encoding="utf-8").splitlines():
        with suppress(ImportError):  # some entries of sys.modules are no files
            importlib.import_module(name)
