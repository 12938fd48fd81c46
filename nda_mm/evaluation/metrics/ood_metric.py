"""``nda_mm.OODMetric``: how well a discriminator or a classifier separates OOD data sets from its own data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger, print_log
from mmengine.registry import DATASETS
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nda_mm.datasets.images.array_dataset import ArrayDataset
from nda_mm.functional.checks import check_choice
from nda_mm.registry import METRICS
from nda_mm.utils.messages import shorten

from ..detection import bootstrap_intervals, detection_measures
from ..nearest import knn_distances
from ..ood_report import OODResult, format_table, means, plot_scores, write_results
from .anomaly_scores import (
    CLASS_REDUCTIONS,
    anomaly_scores,
    classifier_scores,
    count_classes,
    layers_that_mix,
    penultimate_features,
    scoring,
)
from .gan_metric import GANMetric, gather_rows

_MEANINGS = {
    "discriminator": "minus its logit",
    "msp": "minus the highest probability",
    "energy": "minus the log-sum-exp of the logits",
    "max_logit": "minus the highest logit",
    "knn": "distance of the features to their k-th nearest neighbor among the training images'",
}


@METRICS.register_module()
class OODMetric(GANMetric):
    """OOD detection: separate the test images of a model's data (ID) from any number of OOD data sets.

    **A higher score means more anomalous**. The score of a GAN is minus its discriminator's logit, see
    :func:`~nda_mm.evaluation.metrics.anomaly_scores.anomaly_scores`. For the scores of an mmpretrain classifier, see
    :func:`~nda_mm.evaluation.metrics.anomaly_scores.classifier_scores` and, for ``'knn'``,
    :func:`~nda_mm.evaluation.nearest.knn_distances`. Labels of images are never used.

    The results, for each set and as ``mean`` over the sets, are ``ood/SET/auroc``, ``aupr_out`` (OOD images are the
    positives), ``aupr_in`` (ID images are the positives) and ``fpr95`` (OOD images are the positives), see
    :mod:`nda_mm.evaluation.detection`. The log gets a table with counts and bootstrap intervals; the files
    ``results.json``, ``results.csv``, ``scores.png`` and ``roc.png`` are written.

    All images pass through the model's data preprocessor, as in training. A set without its own ``pipeline`` or
    ``image_key`` uses those of the test data. OOD images must have the same size as the data. Resizing leaves traces
    that can give a set away, so the results record how each set was resized (its attribute ``resizing``).

    Source: Sinha et al., "Negative Data Augmentation", ICLR 2021, arXiv 2102.05113, the section on anomaly detection.

    Args:
        outside: Configs of the OOD data sets, by the name to report them under. A value without ``type`` is a family,
            which itself holds configs by name. The table and the files list all members of a family, but only its mean
            is returned. The family counts as one set in the mean over sets.
        only: Names of the sets, families or members (``'FAMILY/MEMBER'``) to use; the data of the others need not
            exist. Defaults to None: all.
        apart: Names of sets or families to leave out of the mean over sets. Defaults to none.
        inside: Config of the ID set. Defaults to None: the test data.
        score: ``'discriminator'``, or ``'msp'``, ``'energy'``, ``'max_logit'`` or ``'knn'`` of a classifier. Defaults
            to ``'discriminator'``.
        bank: Config of the training images, without augmentation, for ``score='knn'``. Defaults to None.
        k: The nearest neighbor whose distance is the score ``'knn'``, at least 1. Defaults to 50.
        class_reduction: ``'max'``, ``'mean'`` or ``'logsumexp'``, for a discriminator with classes. A projection
            discriminator, such as BigGAN's, is run once for all classes, any other once per class. Defaults to
            ``'max'``.
        batch_size: Images per forward pass. Must be 1 for a discriminator whose scores depend on the batch (minibatch
            standard deviation), as it would recognize batches of OOD images. Defaults to 256.
        resamples: Number of bootstrap resamples for the 95 % intervals; 0 disables them. Defaults to 1000, which takes
            about 0.5 s for a set of 10,000.
        seed: Seed for the bootstrap. Defaults to 0.
        trapezoid: Whether AUPR is the trapezoidal area, as in OpenOOD, instead of average precision. Defaults to False.
        out_dir: Output folder. Defaults to None: ``ood`` in the folder of the run's log, so that runs do not overwrite
            each other's files.
        benchmark: Name of the published protocol that the sets follow, recorded in the results. Defaults to None.
        plots: Whether to write the plots. Defaults to True.
        prefix: Prefix of the metric names. Defaults to ``'ood'``.
        collect_device: See :class:`~nda_mm.evaluation.metrics.gan_metric.GANMetric`. Defaults to ``'cpu'``.

    Raises:
        ValueError: If an argument is out of range; at evaluation, if the model has no discriminator or mixes the images
            of a batch, or if a set is empty, unreadable or of a different size. The message names every such set.

    Example:
        In a recipe of mmagic::

            test_evaluator = dict(
                type="Evaluator",
                metrics=[
                    dict(
                        type="nda_mm.OODMetric",
                        outside=dict(svhn=dict(type="nda_mm.SVHN", pipeline=[dict(type="PackInputs")])),
                    )
                ],
            )
    """

    def __init__(
        self,
        outside: Mapping[str, Any],
        *,
        only: Sequence[str] | None = None,
        apart: Sequence[str] = (),
        inside: Mapping[str, Any] | None = None,
        score: str = "discriminator",
        bank: Mapping[str, Any] | None = None,
        k: int = 50,
        class_reduction: str = "max",
        batch_size: int = 256,
        resamples: int = 1000,
        seed: int = 0,
        trapezoid: bool = False,
        out_dir: str | None = None,
        benchmark: str | None = None,
        plots: bool = True,
        prefix: str = "ood",
        collect_device: str = "cpu",
    ) -> None:
        super().__init__(prefix, batch_size, collect_device)
        if resamples < 0:
            raise ValueError(f"resamples must be at least 0, but got {resamples}")
        check_choice(class_reduction, "class_reduction", CLASS_REDUCTIONS)
        check_choice(score, "score", tuple(_MEANINGS))
        if k < 1 or (score == "knn" and not bank):
            raise ValueError(f"score='knn' needs a k of at least 1 and a bank, but got k={k!r}, bank={bank!r}")
        unknown = [name for name in apart if name not in outside]
        if unknown:
            raise ValueError(f"apart must name some of {', '.join(outside)}, but got {list(apart)!r}")
        # The data sets.
        self.ood_cfg = _flatten(outside, only)
        self.apart = tuple(apart)
        self.inside_cfg = inside
        self.bank_cfg = bank
        # How they are scored, compared and reported.
        self.k = k
        self.benchmark = benchmark
        self.score = score
        self.part = "discriminator" if score == "discriminator" else None  # submodule that scores; None: the model
        self.class_reduction = class_reduction
        self.resamples = resamples
        self.seed = seed
        self.trapezoid = trapezoid
        self.out_dir = out_dir
        self.plots = plots
        # Set by prepare() and compute().
        self._ood_sets: dict[str, Any] = {}
        self._id_set: Any = None
        self._bank_set: Any = None
        self._bank: Tensor | None = None  # features, only while scores are computed

    def prepare(self, module: nn.Module, dataloader: DataLoader) -> None:
        """Build the data sets and check their sizes; mmagic's evaluator calls this before the first evaluation."""
        super().prepare(module, dataloader)
        self._id_set = dataloader.dataset if self.inside_cfg is None else self._build(self.inside_cfg)
        if self.score == "knn":
            self._bank_set = self._build(self.bank_cfg)
            if self.k > len(self._bank_set):
                raise ValueError(f"k must be at most {len(self._bank_set)}, the size of the bank, but got {self.k}")
        # Try all sets, so that one message names every set that cannot be used.
        self._ood_sets = {}
        failures: dict[str, list[str]] = {}
        for name, cfg in self.ood_cfg.items():
            try:
                self._ood_sets[name] = self._build(cfg)
            except (OSError, ValueError, TypeError, KeyError, RuntimeError, ImportError) as error:
                failures.setdefault(str(error), []).append(name)  # members of a family may share a damaged file
        if failures:
            lines = "\n".join(f"{shorten(names, 3)}: {cause}" for cause, names in failures.items())
            raise ValueError(
                f"{len(self.ood_cfg) - len(self._ood_sets)} of {len(self.ood_cfg)} OOD sets cannot be used. Select "
                f'the others, as in --cfg-options "test_evaluator.metrics.0.only=[...]":\n{lines}'
            )

    def _build(self, cfg: Any) -> Any:
        test_data: Any = self.loader.dataset
        given = dict(cfg)
        if isinstance(test_data, ArrayDataset):
            given = dict(pipeline=test_data.pipeline.transforms, image_key=test_data.image_key) | given
        dataset = DATASETS.build(given)
        if not len(dataset):
            raise ValueError(f"the data set {cfg['type']} is empty; check its data_root, 'indices' and 'every'")
        id_size, size = (tuple(self.network_input([each[0]]).shape[1:]) for each in (test_data, dataset))
        if size != id_size:
            raise ValueError(f"images are {size}, but must be {id_size} like the test data; set size= or channels=")
        return dataset

    def compute(self) -> dict[str, float]:
        """Score the ID set and all OOD sets, compare and report; return the same values on every process."""
        # Score all sets; the bank's features are only needed meanwhile.
        if self.score == "knn":
            self._bank = self._values(self._bank_set, "the bank").to(self.device)
        id_scores = self._values(self._id_set, "the ID set").numpy()
        ood_scores = {name: self._values(each, f"'{name}'").numpy() for name, each in self._ood_sets.items()}
        self._bank = None
        # Compare each OOD set with the ID set, and report.
        results = [self._compare(name, id_scores, scores) for name, scores in ood_scores.items()]
        if is_main_process():
            self._report(results, id_scores, ood_scores)
        values = {result.name: result.values for result in results if "/" not in result.name} | means(
            results, self.apart
        )
        return {f"{name}/{measure}": value for name, each in values.items() for measure, value in each.items()}

    def _values(self, dataset: Any, name: str) -> Tensor:
        """Compute the score of each image, or its features if the bank for 'knn' is yet to be built."""
        with scoring(self.model, self.part) as network:
            mixing = layers_that_mix(network)
            if mixing and self.batch_size > 1:
                raise ValueError(f"batch_size must be 1, as the network's {mixing[:3]} compare images of a batch")
            parts = [self._score(network, images) for images in self.load(dataset, range(len(dataset)), name)]
        values = gather_rows(torch.cat(parts) if parts else torch.empty(0))
        wrong = int((~values.isfinite()).sum())
        if wrong:
            raise ValueError(f"{wrong} of {len(values)} scores of {name} are not finite; the network has diverged")
        return values

    def _score(self, network: Any, images: Tensor) -> Tensor:
        if self.score == "discriminator":
            return anomaly_scores(network, images, class_reduction=self.class_reduction)
        if self.score != "knn":
            return classifier_scores(network(images, mode="tensor"), self.score)
        features = penultimate_features(network, images)
        return features if self._bank is None else knn_distances(features, self._bank, k=self.k).cpu().double()

    def network_input(self, items: Sequence[Any]) -> Tensor:
        """Collate and preprocess items of a data set into images for the network, without batch augmentation."""
        if self.score == "discriminator":
            return super().network_input(items)
        return self.model.data_preprocessor(self.loader.collate_fn(items), False)["inputs"]

    def _compare(self, name: str, id_scores: np.ndarray, ood_scores: np.ndarray) -> OODResult:
        intervals = {}
        if self.resamples:
            settings = dict(resamples=self.resamples, seed=self.seed)
            intervals = bootstrap_intervals(id_scores, ood_scores, trapezoid=self.trapezoid, **settings)
        resizing = getattr(self._ood_sets[name], "resizing", "as the data set gives them")
        values = detection_measures(id_scores, ood_scores, trapezoid=self.trapezoid)
        return OODResult(name, len(ood_scores), resizing, values, intervals)

    def _report(self, results: list[OODResult], id_scores: np.ndarray, ood_scores: dict[str, np.ndarray]) -> None:
        protocol = self.protocol()
        lines = "\n".join(f"{name}: {value}" for name, value in protocol.items())
        print_log(f"Anomaly detection\n{lines}\n{format_table(results, len(id_scores), self.apart)}", "current")
        log = MMLogger.get_current_instance().log_file
        folder = Path(self.out_dir) if self.out_dir else (Path(log).parent if log else Path.cwd()) / "ood"
        write_results(folder, results, protocol, self.apart)
        if self.plots:
            plot_scores(folder, id_scores, ood_scores)
        print_log(f"Results written to {folder}", "current")

    def protocol(self) -> dict[str, Any]:
        """Describe how the values are measured."""
        with scoring(self.model, self.part) as network:
            classes = count_classes(network)
        return dict(
            benchmark=self.benchmark,
            score=f"{self.score} ({_MEANINGS[self.score]}); higher is more anomalous",
            k=self.k if self.score == "knn" else None,
            model=type(self.model).__name__,
            classes=classes,
            class_reduction=self.class_reduction if classes else None,
            inside=type(self._id_set).__name__,
            inside_split=getattr(self._id_set, "split", None),
            inside_count=len(self._id_set),
            inside_resizing=getattr(self._id_set, "resizing", "as the data set gives them"),
            batch_size=self.batch_size,
            aupr="trapezoid" if self.trapezoid else "average precision",
            intervals=f"95 % percentile bootstrap, {self.resamples} stratified resamples, seed {self.seed}",
        )


def _flatten(outside: Mapping[str, Any], only: Sequence[str] | None) -> dict[str, Mapping[str, Any]]:
    """Return the configs of the selected sets by ``'SET'`` or ``'FAMILY/MEMBER'``."""
    if not isinstance(outside, Mapping) or not outside:
        raise ValueError(f"outside must map names to configs of data sets, at least one, but got {outside!r}")
    sets: dict[str, Mapping[str, Any]] = {}
    for name, cfg in outside.items():
        if name == "mean" or "/" in name:
            raise ValueError(f"the name of an OOD set must not be 'mean' or contain '/', but got {name!r}")
        is_family = isinstance(cfg, Mapping) and cfg and "type" not in cfg
        sets |= {f"{name}/{member}": each for member, each in cfg.items()} if is_family else {name: cfg}
    for name, cfg in sets.items():
        if not isinstance(cfg, Mapping) or "type" not in cfg:
            raise ValueError(f"outside['{name}'] must be a config with 'type', or a family of them, but got {cfg!r}")
    if only is None:
        return sets
    wanted = [only] if isinstance(only, str) else list(only)
    if not wanted or any(name not in outside and name not in sets for name in wanted):
        raise ValueError(f"only must name some of {', '.join(outside)}, or members of families, but got {only!r}")
    return {name: sets[name] for each in wanted for name in sets if f"{name}/".startswith(f"{each}/")}
