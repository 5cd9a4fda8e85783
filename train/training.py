"""The state of a training, and its step: an update of the generator and, where a loss uses it, of the discriminator.

Progress is counted in images: the targets that the generator was trained on.
"""

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from train import mask_schedule
from train.build import Networks
from train.checkpoint import Checkpoint, CheckpointFacts, RunFacts, restore, snapshot
from train.config import Recipe
from train.data.loader import Batch
from train.data.pairs import Kind
from train.ema import ema_decay, update_ema
from train.loss_log import LossLog
from train.networks.conditioned import LatentLinear
from train.objectives.build import build_objective
from train.objectives.objective import Loss
from train.objectives.swap import swap
from train.processes import Processes


def batch_kinds(recipe: Recipe) -> Callable[[int], Kind]:
    """A function from the index of a batch to its kind.

    Both updates of a step use one kind, and a share `same_person` of the steps is "same". A step consumes
    `accumulate` batches for the generator, then as many for the discriminator if `discriminator_batch` is "fresh".
    """
    share = recipe.same_person
    batches = recipe.accumulate * (2 if recipe.discriminator_batch == "fresh" else 1)

    def kind(index: int) -> Kind:
        step = index // batches
        return "same" if math.ceil((step + 1) * share) > math.ceil(step * share) else "cross"

    return kind


class Training:
    """Networks, optimisers and progress, the same in each process.

    Args:
        networks: with the weights to start from.
        out: the run's folder, for the batches of a step that diverges.
        processes: None for this process alone.
        compile: compile G and D with torch.compile.
        bfloat16: autocast G and D to bfloat16; None enables it on a GPU.
    """

    def __init__(
        self,
        networks: Networks,
        out: Path,
        processes: Processes | None = None,
        *,
        compile: bool = False,
        bfloat16: bool | None = None,
    ) -> None:
        self.networks, self.recipe, self.out = networks, networks.recipe, out
        self.device = networks.centre.device
        self.processes = processes or Processes(0, 1, self.device)
        self.bfloat16 = self.device.type == "cuda" if bfloat16 is None else bfloat16
        self.objective = build_objective(networks)
        self.generator, self.discriminator = networks.generator.train(), networks.discriminator.train()
        self.ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        if compile:
            # In place, after the copy: checkpoint names stay, and the EMA, used for samples only, is not compiled.
            self.generator.compile()
            self.discriminator.compile()
        self.optimiser_g, self.optimiser_d = self._optimisers()
        self._statistics = [buffer for name, buffer in self.generator.named_buffers() if "running_" in name]
        self.images = 0
        suffix = "" if self.processes.first else f"-{self.processes.number}"
        self.losses = LossLog(out / "diverged", suffix)
        self._set_progress()

    @property
    def finished(self) -> bool:
        """Whether the generator was trained on all images of the recipe."""
        return self.images >= self.recipe.images

    @property
    def mask_weight(self) -> float:
        """The mask's weight a for the next step."""
        return mask_schedule.alpha(self.images, self.recipe.images)

    def step(self, batches: Iterator[Batch]) -> None:
        """One update of the generator and, where a loss uses it, of the discriminator.

        Raises DivergedError where a loss of the step before was not finite.
        """
        self._set_progress()
        a = self.mask_weight

        # min_G L_G. The discriminator's weights collect no gradients.
        self.discriminator.requires_grad_(False)
        parts_g = self._next(batches)
        fakes, names_g, values_g = self._update(
            self.optimiser_g, parts_g, lambda index, part: self.objective.generator_loss(part, a)
        )

        # min_D L_D, on the fakes of the same batch or, as published, on a fresh one; they have no graph.
        used, names, values = list(parts_g), list(names_g), [values_g]
        if self.recipe.trains_discriminator and self.generator.refinement:
            self.discriminator.requires_grad_(True)
            fresh = self.recipe.discriminator_batch == "fresh"
            parts_d = self._next(batches) if fresh else parts_g
            _, names_d, values_d = self._update(
                self.optimiser_d,
                parts_d,
                lambda index, part: self.objective.discriminator_loss(part, a, None if fresh else fakes[index]),
            )
            used += parts_d if fresh else []
            names += names_d
            values.append(values_d)

        # theta_ema = beta theta_ema + (1 - beta) theta
        self.images += self.recipe.batch
        self.processes.mean_(self._statistics)
        update_ema(self.ema, self.generator, ema_decay(self.recipe.batch, self.images, self.recipe.ema_images))

        self.losses.add(names, torch.cat(values), used, self.images)

    @torch.no_grad()
    def samples(self, batch: Batch) -> npt.NDArray[np.uint8]:
        """The EMA's swaps of a batch, uint8 RGB (B, S, S, 3)."""
        images = []
        for row in range(len(batch.targets)):
            pair = batch.row(row).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                images.append(self.ema.to_rgb01(swap(self.networks, self.ema, pair, self.mask_weight)))
        pixels = (torch.cat(images).clamp(0, 1) * 255).round().to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).cpu().numpy()

    def save(self, facts: RunFacts, loader: dict[str, Any]) -> Checkpoint:
        """A copy of everything that the next step depends on. loader: the state of the data loader."""
        progress = CheckpointFacts(**vars(facts), images=self.images)
        centre = {"centre": self.networks.centre}
        return snapshot(self._networks(), self._named_optimisers(), centre, progress, loader)

    def load(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint. Raises CheckpointError where it does not fit."""
        restore(checkpoint, self._networks(), self._named_optimisers())
        self.networks.centre.copy_(checkpoint.tensors["centre"])
        self.images = checkpoint.facts.images
        self._set_progress()

    def _next(self, batches: Iterator[Batch]) -> list[Batch]:
        """This process's parts of the next batch, on the device."""
        return [next(batches).to(self.device) for _ in range(self.recipe.accumulate // self.processes.count)]

    def _update(
        self, optimiser: Optimizer, parts: list[Batch], loss_of: Callable[[int, Batch], Loss]
    ) -> tuple[list[Tensor], list[str], Tensor]:
        """One optimiser step along the mean gradient over the parts of a batch, of all processes together.

        Each part updates the generator's running statistics from where they are before the step, and their mean is
        kept, as it is over the processes.

        Returns:
            The fakes of each part; names and values of the loss terms, those of all parts in sequence.
        """
        optimiser.zero_grad(set_to_none=True)
        fakes: list[Tensor] = []
        names: list[str] = []
        terms: list[Tensor] = []
        before = [buffer.clone() for buffer in self._statistics]
        sums = [torch.zeros_like(buffer) for buffer in self._statistics]
        for index, part in enumerate(parts):
            # Random numbers depend on the part alone, so that neither processes nor a resume change them.
            torch.manual_seed(int(np.random.SeedSequence([self.recipe.seed, 3, part.index]).generate_state(1)[0]))
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                loss = loss_of(index, part)
            (loss.total / len(parts)).backward()  # type: ignore[no-untyped-call]
            fakes.append(loss.fake)
            names += loss.terms
            terms += loss.terms.values()
            for total, buffer, start in zip(sums, self._statistics, before, strict=True):
                total += buffer
                buffer.copy_(start)
        for total, buffer in zip(sums, self._statistics, strict=True):
            buffer.copy_(total / len(parts))
        values = torch.stack(terms).float()
        gradients = [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
        self.processes.mean_([*gradients, values])
        optimiser.step()
        return fakes, names, values

    def _optimisers(self) -> tuple[Adam, Adam]:
        """Adam for G, with another learning rate for layers that read the latent, and Adam for D."""
        recipe = self.recipe
        readers, others = _split_by_input(self.generator)
        groups = [{"params": others}, {"params": readers, "lr": recipe.learning_rate * recipe.latent_rate}]
        # Fused: one pass over weights and moments, a tenth of the CPU time.
        options = {"lr": recipe.learning_rate, "betas": (recipe.beta1, recipe.beta2), "fused": True}
        return Adam(groups, **options), Adam(self.discriminator.parameters(), **options)  # type: ignore[arg-type]

    def _set_progress(self) -> None:
        self.generator.set_progress(self.images)
        self.ema.set_progress(self.images)
        self.ema.requires_grad_(False)

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "ema": self.ema, "discriminator": self.discriminator}

    def _named_optimisers(self) -> dict[str, Optimizer]:
        return {"optimiser_g": self.optimiser_g, "optimiser_d": self.optimiser_d}


def _split_by_input(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The network's parameters: those of layers that read the latent, and all others."""
    readers = [p for module in network.modules() if isinstance(module, LatentLinear) for p in module.parameters()]
    ids = {id(parameter) for parameter in readers}
    return readers, [parameter for parameter in network.parameters() if id(parameter) not in ids]
