"""A hook that measures the kNN accuracy of a backbone during self-supervised training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import DATASETS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from nda_mm.engine.resume import model_of
from nda_mm.evaluation.nearest import knn_scores, topk_hits
from nda_mm.functional.checks import check_positive
from nda_mm.registry import HOOKS
from nda_mm.utils.random_state import isolated_rng, mix

_SEED_USE = 32  # a different number than those in loops.py and data_stream.py


@HOOKS.register_module()
class KNNHook(Hook):
    """Measure the weighted k-nearest-neighbor accuracy of the backbone during training.

    The features are the last output of the model's ``extract_feat`` in eval mode, averaged over the image area. Each
    rank encodes its share of both sets and classifies its share of the test set. The result is the same as on one rank.

    Training stays the same bit for bit, also under mmengine's loops: the evaluation computes no gradients, and leaves
    running statistics, module modes and RNG state unchanged.

    Source: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018, section
    3.4, https://arxiv.org/abs/1805.01978; see :func:`nda_mm.evaluation.nearest.knn_scores`.

    The metrics ``knn/top1`` and, with more than 5 classes, ``knn/top5`` are percentages. They are written to the log,
    the message hub and the visualizer. A checkpoint hook with ``save_best='knn/top1'`` receives them when the next
    epoch (or iteration) begins, or training ends.

    Args:
        bank: Labeled images that vote: a data set, or its config, whose pipeline ends in ``PackInputs``. Defaults to
            None, which uses the training images without augmentation. If these have no labels, the hook does nothing.
        test: Images to classify, in the same form. Defaults to None, which classifies each image of the bank by all
            others (leave-one-out).
        k: Number of nearest images that vote, at most the size of the bank. Defaults to 200.
        temperature: Temperature of the vote weights, > 0. Defaults to 0.07.
        interval: Epochs or iterations between evaluations; the last one is always evaluated. Defaults to 1.
        by_epoch: Whether ``interval`` counts epochs. Defaults to True.
        before_train: Whether to evaluate the untrained network too, as step 0, unless the run is resumed. Defaults to
            True.
        batch_size: Number of images to encode at a time on each rank. Defaults to 256.
        num_workers: Number of processes that read the images. Defaults to 0.
        prefix: Prefix of the metric names. Defaults to 'knn'.

    Raises:
        ValueError: If a number is out of range. At the start of training, if ``k`` exceeds the bank, images have no
            labels, ``by_epoch`` does not fit the loop, or the model's features are neither maps nor vectors.

    Example:
        In a config::

            eval_pipeline = [dict(type='PackInputs')]
            custom_hooks = [
                dict(
                    type='nda_mm.KNNHook',
                    bank=dict(type='nda_mm.CIFAR10', split='train', image_key='img', pipeline=eval_pipeline),
                    test=dict(type='nda_mm.CIFAR10', split='test', image_key='img', pipeline=eval_pipeline),
                    interval=5,
                )
            ]
    """

    priority = "LOW"  # before the checkpoint hook, so that a checkpoint includes this evaluation

    def __init__(
        self,
        bank: Dataset | Mapping[str, Any] | None = None,
        test: Dataset | Mapping[str, Any] | None = None,
        k: int = 200,
        temperature: float = 0.07,
        interval: int = 1,
        by_epoch: bool = True,
        before_train: bool = True,
        batch_size: int = 256,
        num_workers: int = 0,
        prefix: str = "knn",
    ) -> None:
        self.bank, self.test = bank, test
        self.k, self.temperature = k, check_positive(temperature, "temperature")
        self.interval, self.by_epoch, self.evaluate_first = interval, by_epoch, before_train
        self.batch_size, self.num_workers = batch_size, num_workers
        self.prefix = prefix
        self._loaders: dict[str, DataLoader] = {}
        self._new_metrics: dict[str, float] | None = None

    def before_train(self, runner: Runner) -> None:
        """Load the data sets, check the settings against them, and evaluate the untrained network."""
        if self.by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError("KNNHook counts epochs, but this run counts iterations; set interval and by_epoch=False.")
        bank: Any = _training_images(runner) if self.bank is None else self.bank
        with isolated_rng(self._seed(runner)):
            if self.bank is None and "gt_label" not in bank[0]["data_samples"]:
                runner.logger.info("The training images have no labels, so kNN accuracy is not measured.")
                return
            given = dict(bank=bank) if self.test is None else dict(bank=bank, test=self.test)
            self._loaders = {name: self._loader(each) for name, each in given.items()}
        voters = len(self._loaders["bank"].dataset) - (self.test is None)  # type: ignore[arg-type]
        if not 1 <= self.k <= voters:
            raise ValueError(f"k must be between 1 and {voters}, the number of images that vote, but got {self.k}.")
        if self.evaluate_first and runner.iter == 0:
            self.evaluate(runner, step=0)

    def after_train_epoch(self, runner: Runner) -> None:
        """Evaluate every ``interval`` epochs, if ``by_epoch`` is True."""
        due = self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)
        if self.by_epoch and due and self._loaders:
            self._new_metrics = self.evaluate(runner, step=runner.epoch + 1)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Evaluate every ``interval`` iterations, if ``by_epoch`` is False."""
        due = self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)
        if not self.by_epoch and due and self._loaders:
            self._new_metrics = self.evaluate(runner, step=runner.iter + 1)

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Pass new metrics to the checkpoint hook, now that the runner has counted the epoch or iteration."""
        metrics, self._new_metrics = self._new_metrics, None
        if metrics is None:
            return
        for hook in runner.hooks:
            watched = getattr(hook, "key_indicators", None) if isinstance(hook, CheckpointHook) else None
            # Without validation, a name without a prefix can only be a mistake. Let the checkpoint hook report it.
            ours = {self.prefix} if runner.val_loop is not None else {self.prefix, ""}
            if watched and all(name.rpartition("/")[0] in ours for name in watched):
                hook.after_val_epoch(runner, metrics)

    before_train_epoch = before_train_iter

    def after_train(self, runner: Runner) -> None:
        """Pass new metrics to the checkpoint hook, and release the data sets."""
        self.before_train_iter(runner)
        self._loaders = {}

    @torch.no_grad()
    def evaluate(self, runner: Runner, step: int) -> dict[str, float]:
        """Encode both sets, classify the test images and log the result. A collective call.

        Args:
            runner: The Runner.
            step: Number of epochs or iterations trained.

        Returns:
            Metrics by name, as percentages, the same on every rank.
        """
        # Encode this rank's share of both sets, and gather the bank on every rank. Queries stay on their rank.
        model = model_of(runner)
        with isolated_rng(self._seed(runner)), _in_eval_mode(model):
            own = self._encode(model, "bank")
            bank, labels = (_from_all_ranks(part, self._loaders["bank"]) for part in own)
            queries, truth = own if self.test is None else self._encode(model, "test")
        classes = all_gather(torch.stack([labels.max(), truth.max()]))
        num_classes = int(torch.stack(classes).max()) + 1
        # Without a test set, no image may vote for itself: find the rank's own images in the bank.
        own_places = torch.arange(len(bank), device=bank.device)[get_rank() :: get_world_size()]
        exclude = own_places if self.test is None else None
        scores = knn_scores(queries, bank, labels, num_classes, k=self.k, temperature=self.temperature, exclude=exclude)
        # Count the hits over all ranks.
        topk = (1, 5) if num_classes > 5 else (1,)
        hits = torch.tensor([*topk_hits(scores, truth, topk), len(truth)], dtype=torch.float64)
        all_reduce(hits)
        metrics = {f"{self.prefix}/top{n}": 100 * float(hit / hits[-1]) for n, hit in zip(topk, hits)}
        self._log(runner, metrics, step)
        return metrics

    def _encode(self, model: nn.Module, name: str) -> tuple[Tensor, Tensor]:
        """Return the features and labels of this rank's share."""
        features, labels = [], []
        for batch in self._loaders[name]:
            if any("gt_label" not in sample for sample in batch["data_samples"]):
                raise ValueError(f"KNNHook's {name} must have a label (gt_label) for each image.")
            data = model.data_preprocessor(batch, False)  # type: ignore[operator]
            found = _pooled(model.extract_feat(data["inputs"]))  # type: ignore[operator]
            features.append(found)
            labels.append(torch.cat([sample.gt_label.reshape(1) for sample in batch["data_samples"]]).to(found.device))
        return torch.cat(features), torch.cat(labels)

    def _loader(self, dataset: Dataset | Mapping[str, Any]) -> DataLoader:
        return Runner.build_dataloader(
            dict(
                batch_size=self.batch_size,
                num_workers=self.num_workers,
                dataset=dict(dataset) if isinstance(dataset, Mapping) else dataset,
                sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
                collate_fn=dict(type="default_collate"),
            ),
            seed=0,
        )

    def _seed(self, runner: Runner) -> int:
        return mix(runner.seed or 0, _SEED_USE, get_rank())

    def _log(self, runner: Runner, metrics: dict[str, float], step: int) -> None:
        for name, value in metrics.items():
            runner.message_hub.update_scalar(name, value)
        runner.visualizer.add_scalars(metrics, step=step)
        shown = "  ".join(f"{name}: {value:.2f}" for name, value in metrics.items())
        runner.logger.info(f"kNN ({'epoch' if self.by_epoch else 'iteration'} {step})  {shown}")


def _training_images(runner: Runner) -> Any:
    """Return the training data set without the transform that makes the views."""
    config = runner.cfg.train_dataloader["dataset"].to_dict()
    if "pipeline" not in config:
        raise ValueError(f"KNNHook needs a bank, since the training data set {config['type']} has no pipeline.")
    return DATASETS.build(dict(config, pipeline=[each for each in config["pipeline"] if each["type"] != "MultiView"]))


@contextmanager
def _in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Put the model into eval mode, and restore each module's mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _pooled(output: Any) -> Tensor:
    """Return the last stage's output as vectors, with maps averaged over their area."""
    features = output[-1] if isinstance(output, (tuple, list)) else output
    if features.ndim not in (2, 4):
        raise ValueError(
            f"extract_feat must give maps (B, C, H, W) or vectors (B, C), but got {tuple(features.shape)}; set "
            "out_type='cls_token' in the backbone."
        )
    return (features if features.ndim == 2 else features.mean(dim=(2, 3))).float()


def _from_all_ranks(own: Tensor, loader: DataLoader) -> Tensor:
    """Gather all rows in the order of the data set: rank ``r`` of ``n`` holds rows ``r``, ``r + n``, ..."""
    size, world = len(loader.dataset), get_world_size()  # type: ignore[arg-type]
    if world == 1:
        return own
    padded = F.pad(own, (0, 0) * (own.ndim - 1) + (0, -(-size // world) - len(own)))
    return torch.stack(all_gather(padded), dim=1).flatten(0, 1)[:size]
