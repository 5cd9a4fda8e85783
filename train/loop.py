"""The training loop: one update of the generator and one of the discriminator a step, on one batch or on one each.

Progress counts images: those that the generator was trained on.
"""

import copy
import math
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from manifests.output import atomic
from train import mask_schedule
from train.build import build_objective
from train.checkpoint import Checkpoint, CheckpointWriter, path_of, restore, snapshot
from train.config import Recipe
from train.data.loader import Batch, PairLoader
from train.data.pairs import Kind
from train.errors import DivergedError
from train.journal import Journal
from train.networks.convolutions import LatentLinear
from train.networks.generator import Generator
from train.networks.identity_injection import Progression
from train.objective import Made, Parts, swap
from train.processes import Processes

_EMA_RAMP = 0.05  # the moving average's half-life is at most this share of the images so far


@dataclass(frozen=True)
class Status:
    """What the last steps did: mean losses by name, and how fast."""

    images: int
    total: int
    images_per_second: float
    memory_bytes: int
    losses: dict[str, float]


def kind_of(recipe: Recipe) -> Callable[[int], Kind]:
    """Number of a batch -> its kind: both updates of a step see the same kind, `same_person` of the steps one person.

    A step takes `accumulate` batches for the generator, then as many for the discriminator where that has its own.
    """
    share = recipe.same_person
    taken = recipe.accumulate * (2 if recipe.discriminator_batch == "fresh" else 1)

    def kind(index: int) -> Kind:
        step = index // taken
        return "same" if math.ceil((step + 1) * share) > math.ceil(step * share) else "cross"

    return kind


class _Told:
    """The losses of a step by name, and its batches; whether all are finite is on its way to the CPU at once."""

    def __init__(self, names: list[str], values: Tensor, batches: list[Batch]) -> None:
        self.names, self.values, self.batches = names, values, batches
        self._finite = values.isfinite().all().to("cpu", non_blocking=True)
        self._copied = torch.cuda.Event() if values.is_cuda else None  # type: ignore[no-untyped-call]
        if self._copied is not None:
            self._copied.record()

    def finite(self) -> bool:
        """Waits for this step alone, not for what was begun after it."""
        if self._copied is not None:
            self._copied.synchronize()
        return bool(self._finite)


class Training:
    """Networks, optimisers and how far they are; the same in each of the `processes`, this one alone by default.

    bfloat16: what autocast computes G and D in; None where the device is a GPU.
    """

    def __init__(
        self,
        parts: Parts,
        out: Path,
        processes: Processes | None = None,
        *,
        compile: bool = False,
        bfloat16: bool | None = None,
    ) -> None:
        self.parts, self.recipe, self.out = parts, parts.recipe, out
        self.device = parts.centre.device
        self.processes = processes or Processes(0, 1, self.device)
        self.bfloat16 = self.device.type == "cuda" if bfloat16 is None else bfloat16
        self.objective = build_objective(parts)
        self.generator, self.discriminator = parts.generator.train(), parts.discriminator.train()
        self.ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        rate = self.recipe.learning_rate
        rates = {"lr": rate, "betas": (self.recipe.beta1, self.recipe.beta2)}
        if compile:
            # In place, and after the copy: names in the checkpoint stay, and samples need no second compilation.
            self.generator.compile()
            self.discriminator.compile()
        of_latent, others = _by_input(self.generator)
        groups = [{"params": others}, {"params": of_latent, "lr": rate * self.recipe.latent_rate}]
        # Fused: a tenth of the CPU time of the plain one, a single pass over weights and moments.
        self.optimiser_g = Adam(groups, fused=True, **rates)  # type: ignore[arg-type]
        self.optimiser_d = Adam(self.discriminator.parameters(), fused=True, **rates)  # type: ignore[arg-type]
        self.images = 0
        self._unchecked: _Told | None = None
        self._sums: dict[str, list[Tensor]] = defaultdict(list)
        self._open_blocks()

    def step(self, batches: Iterator[Batch]) -> None:
        """One update of each network. Raises DivergedError where a loss of the step before was not finite."""
        self._open_blocks()
        a = mask_schedule.alpha(self.images, self.recipe.images)
        game = self.objective

        # L_G on a fresh batch. The discriminator only judges: its weights collect no gradients.
        self.discriminator.requires_grad_(False)
        parts = self._take(batches)
        fakes, names, values = self._update(self.optimiser_g, parts, lambda at, part: game.generator_loss(part, a))

        # L_D on another one, or on the same fakes; either way they have no graph.
        self.discriminator.requires_grad_(True)
        fresh = self.recipe.discriminator_batch == "fresh"
        others = self._take(batches) if fresh else parts
        _, more, mores = self._update(
            self.optimiser_d,
            others,
            lambda at, part: game.discriminator_loss(part, a, None if fresh else fakes[at]),
        )

        self.images += self.recipe.batch
        self._average()

        # The numbers of this step are looked at one step later, when a GPU has long made them.
        used = [*parts, *others] if fresh else parts
        before, self._unchecked = self._unchecked, _Told(names + more, torch.cat([values, mores]), used)
        self._check(before)

    def _take(self, batches: Iterator[Batch]) -> list[Batch]:
        """This process's parts of the next batch."""
        return [next(batches).to(self.device) for _ in range(self.recipe.accumulate // self.processes.count)]

    def _update(
        self, optimiser: Optimizer, parts: list[Batch], loss_of: Callable[[int, Batch], Made]
    ) -> tuple[list[Tensor], list[str], Tensor]:
        """One step down the gradient of the mean loss over the parts of a batch, of all processes together.

        Returns each part's fakes, and the names and values of the losses' terms.
        """
        optimiser.zero_grad(set_to_none=True)
        fakes: list[Tensor] = []
        names: list[str] = []
        values: list[Tensor] = []
        for at, part in enumerate(parts):
            # What is random in a loss depends on the part alone: not on who computes it, nor on an earlier stop.
            torch.manual_seed(int(np.random.SeedSequence([self.recipe.seed, 3, part.index]).generate_state(1)[0]))
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                made = loss_of(at, part)
            (made.loss / len(parts)).backward()  # type: ignore[no-untyped-call]
            fakes.append(made.fake)
            names += made.terms
            values += made.terms.values()
        told = torch.stack(values).float()
        gradients = [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
        self.processes.mean_([*gradients, told])
        optimiser.step()
        for name, value in zip(names, told, strict=True):
            self._sums[name].append(value)
        return fakes, names, told

    @torch.no_grad()
    def _average(self) -> None:
        """theta_ema = beta theta_ema + (1 - beta) theta, with half-life `ema_images`, less at the start."""
        # Running statistics: the mean over the processes.
        self.processes.mean_([buffer for name, buffer in self.generator.named_buffers() if "running_" in name])
        half_life = min(self.recipe.ema_images, _EMA_RAMP * self.images)
        beta = 0.5 ** (self.recipe.batch / half_life) if half_life else 0.0
        theirs: list[Tensor] = list(self.generator.parameters())
        mine: list[Tensor] = list(self.ema.parameters())
        torch._foreach_lerp_(mine, theirs, 1 - beta)
        for average, buffer in zip(self.ema.buffers(), self.generator.buffers(), strict=True):
            average.copy_(buffer)

    def _open_blocks(self) -> None:
        """Progressive injection: as many blocks as the images so far call for."""
        if not self.recipe.images_per_block or not isinstance(self.generator, Generator):
            return
        plan = Progression(self.recipe.blocks, self.recipe.images_per_block)
        active = plan.active(self.images)
        if active == self.generator.active_blocks and self.images:
            return
        assert isinstance(self.ema, Generator)
        self.generator.active_blocks = self.ema.active_blocks = active
        self.generator.freeze_before(plan.frozen(self.images))
        self.ema.requires_grad_(False)

    def finished(self) -> bool:
        """Whether all images of the recipe were trained on."""
        return self.images >= self.recipe.images

    def losses(self) -> dict[str, float]:
        """Mean of each loss since the last call. Raises DivergedError as `step` does, up to the last step."""
        self._check(self._unchecked)
        self._unchecked = None
        means = {name: torch.stack(values).mean().item() for name, values in self._sums.items()}
        self._sums.clear()
        return means

    def _check(self, step: "_Told | None") -> None:
        if step is None or step.finite():
            return
        names, values, batches = step.names, step.values, step.batches
        bad = names[int((~values.isfinite()).nonzero()[0])]
        who = "" if self.processes.first else f"-{self.processes.number}"
        path = self.out / "diverged" / f"{self.images:012d}{who}.safetensors"
        with atomic(path) as partial:
            save_file(_tensors(batches), partial)
        raise DivergedError(
            f"loss {bad!r} is {values[names.index(bad)].item()} after about {self.images:,} images; its batches are in "
            f"{path}. The last checkpoint is from before: continue with a recipe of a smaller learning_rate in another "
            "--out, or look at the batch"
        )

    @torch.no_grad()
    def samples(self, batch: Batch) -> npt.NDArray[np.uint8]:
        """The moving average's swaps, uint8 (B, S, S, 3)."""
        a = mask_schedule.alpha(self.images, self.recipe.images)
        images = []
        for row in range(len(batch.targets)):
            one = batch.row(row).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                images.append(self.ema.to_rgb01(swap(self.parts, self.ema, one, a)))
        pixels = (torch.cat(images).clamp(0, 1) * 255).round().to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).cpu().numpy()

    def save(self, facts: dict[str, Any], loader: dict[str, Any]) -> Checkpoint:
        """Everything that the next step depends on."""
        active = self.generator.active_blocks if isinstance(self.generator, Generator) else self.recipe.blocks
        return snapshot(
            {"generator": self.generator, "ema": self.ema, "discriminator": self.discriminator},
            {"optimiser_g": self.optimiser_g, "optimiser_d": self.optimiser_d},
            {"centre": self.parts.centre},
            {**facts, "images": self.images, "active_blocks": active, "loader": loader},
        )

    def load(self, found: Checkpoint) -> None:
        """Continue from a checkpoint. Raises CheckpointError where it does not fit."""
        restore(
            found,
            {"generator": self.generator, "ema": self.ema, "discriminator": self.discriminator},
            {"optimiser_g": self.optimiser_g, "optimiser_d": self.optimiser_d},
        )
        self.parts.centre.copy_(found.tensors["centre"])
        self.images = int(found.facts["images"])
        self._open_blocks()


def run(
    training: Training,
    loader: PairLoader,
    samples: Batch,
    facts: dict[str, Any],
    tell: Callable[[Status], None],
) -> None:
    """Train until the recipe's images are reached; the first process leaves log, grids and checkpoints in `out`."""
    recipe, out = training.recipe, training.out
    if not training.processes.first:
        _follow(training, loader)
        return
    journal = Journal(out, training.images)
    writer = CheckpointWriter(out / "checkpoints", recipe.checkpoints)
    next_save, next_grid = (
        _after(training.images, every) for every in (recipe.checkpoint_images, recipe.sample_images)
    )
    steps, since, began = 0, training.images, time.monotonic()
    try:
        while not training.finished():
            training.step(loader)
            steps += 1
            # Checkpoints lie at lines of the log, so that no mean is torn by a resume.
            if steps % recipe.log_steps and not training.finished():
                continue
            losses = training.losses()
            rate = (training.images - since) / (time.monotonic() - began)
            status = Status(training.images, recipe.images, rate, _memory(training.device), losses)
            row = {"images": status.images, **losses, "images_per_second": rate, "memory_bytes": status.memory_bytes}
            journal.line({**row, "alpha": mask_schedule.alpha(training.images, recipe.images)})
            tell(status)
            if training.images >= next_grid or training.finished():
                journal.grid(training.images, grid(samples, training.samples(samples)))
                next_grid = _after(training.images, recipe.sample_images)
            if training.images >= next_save or training.finished():
                writer.write(training.save(facts, loader.state_dict()))
                next_save = _after(training.images, recipe.checkpoint_images)
            since, began = training.images, time.monotonic()
    finally:
        # Also after Ctrl-C: what was handed over reaches the disk.
        writer.close()
        journal.close()


def _by_input(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The network's parameters: those of layers that read the latent, and the others."""
    readers = [p for module in network.modules() if isinstance(module, LatentLinear) for p in module.parameters()]
    known = {id(parameter) for parameter in readers}
    return readers, [parameter for parameter in network.parameters() if id(parameter) not in known]


def _follow(training: Training, loader: PairLoader) -> None:
    """What the other processes do: the same steps, and nothing to be seen."""
    steps = 0
    while not training.finished():
        training.step(loader)
        steps += 1
        if steps % training.recipe.log_steps == 0 or training.finished():
            training.losses()


def grid(batch: Batch, swapped: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pairs of a batch, a row each: target, source, swap -> one picture uint8 (B S, 3 S, 3)."""
    assert batch.source is not None
    columns = [batch.target.permute(0, 2, 3, 1).numpy(), batch.source.permute(0, 2, 3, 1).numpy(), swapped]
    return np.concatenate([np.concatenate(list(column)) for column in columns], 1)


def facts_of(recipe: Recipe, policy_hash: str | None, embedder_id: str, latent_dim: int) -> dict[str, Any]:
    """What a checkpoint says of the training it belongs to."""
    return {
        "recipe": asdict(recipe),
        "policy_hash": policy_hash,
        "embedder_id": embedder_id,
        "latent_dim": latent_dim,
    }


def checkpoint_path(out: Path, images: int) -> Path:
    """Where a run's checkpoint after so many images lies."""
    return path_of(out / "checkpoints", images)


def _after(images: int, every: int) -> int:
    return (images // every + 1) * every


def _memory(device: torch.device) -> int:
    """Most bytes held so far: of the GPU's memory, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _tensors(batches: list[Batch]) -> dict[str, Tensor]:
    """What a batch was made of, by `update.name`, for a file."""
    return {
        f"{number}.{name}": value.cpu().contiguous()
        for number, batch in enumerate(batches)
        for name, value in vars(batch).items()
        if isinstance(value, Tensor)
    }
