"""Registry of generators: name -> class, and the recipe keys that the class accepts.

A generator is one file of this package with a decorated subclass of `FaceGenerator`, and a recipe that names it::

    @register_generator("simswap", "blocks", "width", "io_space")
    class SimSwapGenerator(FaceGenerator):
        def __init__(self, latent_dim: int, *, blocks: int, width: int, io_space: IoSpace) -> None: ...

Every module of the package is imported by the first look-up; there is no list to extend.
"""

import functools
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TypeVar

from train.networks.face_generator import FaceGenerator

G = TypeVar("G", bound=type[FaceGenerator])


@dataclass(frozen=True)
class GeneratorEntry:
    """A registered generator.

    Attributes:
        name: value of the recipe key `generator`.
        network: its class; the constructor's first argument is the dimension of the latents.
        keys: recipe keys that it accepts; those that are parameters of the constructor are passed by name.
    """

    name: str
    network: type[FaceGenerator]
    keys: frozenset[str]


_ENTRIES: dict[str, GeneratorEntry] = {}


def register_generator(name: str, *keys: str) -> Callable[[G], G]:
    """Class decorator: make the class available as `generator = "name"`. Raises ValueError if the name is taken."""

    def register(network: G) -> G:
        if name in _ENTRIES:
            raise ValueError(f"generator {name!r} is registered already, by {_ENTRIES[name].network.__qualname__}")
        _ENTRIES[name] = GeneratorEntry(name, network, frozenset(keys))
        return network

    return register


def unregister_generator(name: str) -> None:
    """Remove a generator, for example one that a test registered. Raises KeyError if there is none of that name."""
    del _ENTRIES[name]


def generator_names() -> tuple[str, ...]:
    """Names of all generators, sorted."""
    _import_package()
    return tuple(sorted(_ENTRIES))


def generator_entry(name: str) -> GeneratorEntry:
    """The generator of that name. Raises KeyError if there is none."""
    _import_package()
    return _ENTRIES[name]


def generator_keys() -> frozenset[str]:
    """Recipe keys that at least one generator accepts; all others are independent of the generator."""
    _import_package()
    return frozenset().union(*(entry.keys for entry in _ENTRIES.values()))


@functools.cache
def _import_package() -> None:
    package = import_module("train.networks")
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
