"""Swapset's model side: a curated dataset -> a face-swap generator, its evaluation, and marked swaps.

The steps are `train.fit`, `train.judge`, `train.ablate` and `train.swap`, each with `plan` and `run`.

    from train import fit, load_recipe
    request = fit.FitRequest(Path("curated/vggface2"), load_recipe("tiny"), out=Path("runs/tiny"))
    checkpoint = fit.run(fit.plan(request))

To add a recipe, add a TOML file to `recipes/`; a recipe key, a field of `config.Recipe`; a generator, a file of
`networks/`.
"""

from curate.lazy import lazy_exports

TYPE_CHECKING = False  # that of `typing` takes milliseconds, in which Ctrl-C would print a traceback (train/cli.py)
if TYPE_CHECKING:
    from curate.listener import SILENT, Listener
    from train.config import RECIPES, Recipe, load_recipe
    from train.trained import TrainedGenerator, load_trained

__all__ = ["RECIPES", "SILENT", "Listener", "Recipe", "TrainedGenerator", "load_recipe", "load_trained"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(
        __name__,
        {
            "curate.listener": ("SILENT", "Listener"),
            "train.config": ("RECIPES", "Recipe", "load_recipe"),
            "train.trained": ("TrainedGenerator", "load_trained"),
        },
    )
