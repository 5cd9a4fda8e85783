"""Names that a package exports without importing the modules that define them (PEP 562)."""

from collections.abc import Callable, Sequence
from importlib import import_module


def lazy_exports(package: str, modules: dict[str, Sequence[str]]) -> Callable[[str], object]:
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
        return getattr(import_module(module_of[name]), name)

    return getattr_
