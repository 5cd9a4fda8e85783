"""Names that a package exports without importing the modules that define them (PEP 562).

Imports nothing itself: a program imports it before it handles Ctrl-C (`curate/cli.py`).
"""

TYPE_CHECKING = False  # that of `typing` takes milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def lazy_exports(package: str, modules: "dict[str, Sequence[str]]") -> "Callable[[str], object]":
    """Make a package's `__getattr__`: a name is imported from its module when it is first used.

    `import curate` and `curate --help` then do not import torch.

    Args:
        package: The package's `__name__`.
        modules: Module -> the names that it defines.
    """
    module_of = {name: module for module, names in modules.items() for name in names}

    def getattr_(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(module_of[name]), name)

    return getattr_
