"""Rates of work on a device, whose results are waited for."""

import time
from collections.abc import Callable

import torch


def rate(
    step: Callable[[int], object],
    items: int,
    seconds: float,
    device: torch.device,
    *,
    warm_up: int = 1,
    synchronised: int = 1,
) -> float:
    """Items per second of wall-clock time of steps with turns 0, 1, ...

    Args:
        step: does `items` items.
        items: of a step.
        seconds: duration; 0 takes the time of one step, without a warm-up.
        device: on which the steps run.
        warm_up: steps before the first that counts.
        synchronised: number of steps after which all work of the device is waited for.
    """
    first = warm_up if seconds else 0
    for turn in range(first):
        step(turn)
    synchronise(device)
    began, steps = time.perf_counter(), 0
    while not steps or time.perf_counter() - began < seconds:
        step(first + steps)
        steps += 1
        if steps % synchronised == 0:
            synchronise(device)
    synchronise(device)
    return steps * items / (time.perf_counter() - began)


def synchronise(device: torch.device) -> None:
    """Wait for all work of a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
