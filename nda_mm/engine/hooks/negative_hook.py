"""The shared base of hooks that add negatives to a stock model: schedule, seed and lifecycle."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from nda_mm.engine.resume import model_of, shared_seed
from nda_mm.losses import check_negative_weight
from nda_mm.models.attached import AttachedNegatives
from nda_mm.negatives import Negative, build_negative
from nda_mm.utils.schedules import as_schedule


class NegativeHook(Hook):
    """Base class of hooks that add negatives to a stock model.

    Args:
        negative: The negative or its config, such as ``dict(type='Jigsaw', grid=2)``.
        weight: Weight of the negatives. Finite and at least 0, or a schedule over iterations such as
            ``[(0, 0.0), (1000, 1.0)]``.
        seed: Seed for the negatives. Defaults to None, which uses the run's seed.
    """

    #: Checkpoint key for the seed of the negatives.
    checkpoint_key: str

    def __init__(
        self,
        negative: Negative | Mapping[str, Any],
        weight: float | Sequence[Sequence[float]] | Mapping[str, Any],
        seed: int | None = None,
    ) -> None:
        self.negative = build_negative(negative)
        self.weight = as_schedule(weight, "weight", check_negative_weight)
        self.seed = seed
        self.attached: AttachedNegatives | None = None
        self._loaded_seed: int | None = None

    @abstractmethod
    def build(self, runner: Runner, model: nn.Module, seed: int) -> AttachedNegatives:
        """Build what will be attached to the model, and check the model. Also called at weight 0."""

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Read the seed of the run that wrote the checkpoint. It is used if the run is resumed."""
        self._loaded_seed = checkpoint.get(self.checkpoint_key, {}).get("seed")

    def before_train(self, runner: Runner) -> None:
        """Check the model, and attach the negatives unless their weight is always 0."""
        model = model_of(runner)
        made = self.build(runner, model, self._choose_seed(runner))
        if max(self.weight.values) > 0:
            self.negative.to(next(model.parameters()).device)
            self.attached = made
            self.attached.attach()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the iteration, which seeds the draws, and the weight for the next step."""
        if self.attached is not None:
            self.attached.set_step(runner.iter, self.weight(runner.iter))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Save the seed."""
        if self.attached is not None:
            checkpoint[self.checkpoint_key] = {"seed": self.attached.seed}

    def after_train(self, runner: Runner) -> None:
        """Detach the negatives from the model."""
        if self.attached is not None:
            self.attached.detach()

    def _choose_seed(self, runner: Runner) -> int:
        """Return the seed of a resumed run, else the hook's, else the run's."""
        if runner.iter > 0 and self._loaded_seed is not None:
            return self._loaded_seed
        if self.seed is not None:
            return self.seed
        return shared_seed(runner)  # ShuffleBN needs the same seed on all ranks
