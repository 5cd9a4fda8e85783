"""Rough estimates of the memory and time of an ablation, for `simswap ablate --dry-run`."""

import numpy as np

from train import complexity, fit
from train.ablate.ablate import AblatePlan
from train.ablate.timing import multiply_adds_per_second
from train.build import build_discriminator, build_generator


def describe(planned: AblatePlan) -> list[str]:
    """One line per arm with its data, its generator, and rough estimates of memory and time; then the totals."""
    request = planned.request
    rate = multiply_adds_per_second(request.device)
    lines = [f"{'arm':<34} {'photos':>9} {'people':>7} {'parameters':>12} {'G MACs':>7} {'GiB':>6} {'about':>9}"]
    total_seconds = 0.0
    for arm in request.arms:
        training = fit.plan(request.fit_request(arm))
        recipe, embedder = arm.recipe, training.embedder
        is_trained_on = ~training.photos.held_out(recipe.held_out)
        people = len(np.unique(training.photos.person[is_trained_on]))
        shape = (1, 3, recipe.size, recipe.size)
        g = complexity.measure(build_generator(recipe, embedder.dim), shape, (1, embedder.dim))
        d = complexity.measure(build_discriminator(recipe), shape)
        e = complexity.measure(embedder.network, (1, 3, *embedder.template.size))
        # Of a step, per image: G forward twice and backward once (as much as two forward), D nine times its forward,
        # the embedder forward and back to its input.
        macs = 4 * g.macs + 9 * d.macs + 2 * e.macs
        part = recipe.batch // recipe.accumulate
        memory = g.training_bytes(part) + d.training_bytes(2 * part)
        seconds = recipe.images * macs / rate
        total_seconds += seconds
        lines.append(
            f"{arm.slug:<34} {int(is_trained_on.sum()):>9,} {people:>7,} {g.parameters:>12,} {g.macs / 1e9:>7.2f} "
            f"{memory / 2**30:>6.1f} {_format_duration(seconds):>9}"
        )
    return [
        *lines,
        "",
        f"judged on      {planned.judged.note}",
        f"total          {len(request.arms)} trainings, about {total_seconds / 3600:.1f} h one after the other",
        "Times are rough: multiply-adds, at the rate that one convolution reaches on this device now.",
    ]


def _format_duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
