"""``nda_mm.OODMetric``: how well a GAN's discriminator tells images of other data sets from those of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_dist_info, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import DATASETS
from torch import nn
from torch.utils.data import DataLoader, Subset

from nda_mm.evaluation.ood import bootstrap_intervals, detection_measures
from nda_mm.evaluation.ood_report import SetResult, means, plot, table, write_results
from nda_mm.evaluation.outlier_scores import CLASS_REDUCTIONS, count_classes, layers_that_mix, outlier_scores, scoring
from nda_mm.registry import METRICS


@METRICS.register_module()
class OODMetric(BaseMetric):
    """Anomaly detection by the discriminator: its data's test images against any number of outside sets.

    The loop's own images are the data, those of ``outside`` are to be found; **a higher score means more outlying**,
    and the score is the discriminator's logit with the sign turned, see
    :func:`~nda_mm.evaluation.outlier_scores.outlier_scores`. Labels of images are never used. Reported are, for each
    set and as ``mean`` over the sets, ``ood/SET/auroc``, ``aupr_out`` (outside images are to be found), ``aupr_in`` and
    ``fpr95`` (outside images as positives), see :mod:`nda_mm.evaluation.ood`. The log has a table with counts and
    bootstrap intervals; ``results.json``, ``results.csv``, ``scores.png`` and ``roc.png`` are written.

    Every image passes the model's data preprocessor, as in training. Outside sets must bring the data's size. Resizing
    leaves traces by which images can be told apart, so how a set was resized (its attribute ``resizing``) is kept in
    the results.

    Works on any number of processes: each scores a share of every set, and all report the same.

    Source: Sinha et al., "Negative Data Augmentation", ICLR 2021, arXiv 2102.05113, the section on anomaly detection.

    Args:
        outside: Configs of data sets by the name they are reported under. A value without ``type`` is a family, itself
            configs by name: its members stand in table and files, only their mean is among the values returned, and it
            counts as one set in the mean over sets.
        only: Names of the sets (or families) to use; the others' data need not be there. Default None: all.
        class_reduction: ``'max'`` (default), ``'mean'`` or ``'logsumexp'``, for a discriminator with classes. One with
            a projection, as BigGAN's, is run once for all classes, any other once for each.
        batch_size: Images to a pass. Default 256. Must be 1 for a discriminator whose scores depend on the batch
            (minibatch standard deviation), as batches of outside images would give themselves away.
        resamples: Bootstrap samples of the 95 % intervals; 0 leaves them out. Default 1000: about 0.5 s for a set of
            10,000.
        seed: Of the bootstrap. Default 0.
        out_dir: Folder of the files. Default None: ``ood`` beside the run's log, so that no run overwrites another's.
        plots: Whether to draw. Default True; needs matplotlib, and warns without it.
        prefix: Of the names. Default 'ood'.

    Raises:
        ValueError: If an argument is out of its range; at the evaluation, if the model has no discriminator, mixes the
            images of a batch, or a set is empty, unreadable or of another size. Every set that can't be read is named.

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

    SAMPLER_MODE = "nda_mm_ood"  # mmagic's evaluator groups metrics by these two
    sample_model = "orig"

    def __init__(
        self,
        outside: Mapping[str, Any],
        *,
        only: Sequence[str] | None = None,
        class_reduction: str = "max",
        batch_size: int = 256,
        resamples: int = 1000,
        seed: int = 0,
        out_dir: str | None = None,
        plots: bool = True,
        prefix: str = "ood",
        collect_device: str = "cpu",
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if batch_size < 1 or resamples < 0:
            raise ValueError(f"batch_size must be at least 1 and resamples 0, but got {batch_size} and {resamples}")
        if class_reduction not in CLASS_REDUCTIONS:
            raise ValueError(f"class_reduction must be one of {CLASS_REDUCTIONS}, but got {class_reduction!r}")
        self.outside_cfg = _flatten(outside, only)
        self.class_reduction = class_reduction
        self.batch_size = batch_size
        self.resamples = resamples
        self.seed = seed
        self.out_dir = out_dir
        self.plots = plots
        self._model: Any = None
        self._inside: Any = None
        self._collate: Callable | None = None
        self._outside: dict[str, Any] = {}

    def prepare(self, module: nn.Module, dataloader: DataLoader) -> None:
        """Called by mmagic's evaluator before the first evaluation: build the outside sets and check their size."""
        self._model = module.module if is_model_wrapper(module) else module
        self._inside, self._collate = dataloader.dataset, dataloader.collate_fn
        self._outside = {}
        failures: dict[str, list[str]] = {}
        for name, cfg in self.outside_cfg.items():
            try:
                self._outside[name] = self._build(cfg)
            except (OSError, ValueError, TypeError, KeyError, RuntimeError, ImportError) as error:
                failures.setdefault(str(error), []).append(name)  # members of a family may share a damaged file
        if failures:
            raise ValueError(self._refusal(failures))

    def _refusal(self, failures: dict[str, list[str]]) -> str:
        """Every cause once, with the sets that it concerns, and how to do without them."""
        failed = {name for names in failures.values() for name in names}
        whole = {name.split("/")[0] for name in self._outside} - {name.split("/")[0] for name in failed}
        example = [name for name in dict.fromkeys(each.split("/")[0] for each in self.outside_cfg) if name in whole]
        listed = [
            f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}: {cause}"
            for cause, names in failures.items()
        ]
        return (
            f"{len(failed)} of {len(self.outside_cfg)} outside sets cannot be used. Mend them, or name the sets you "
            f'have with only=[...] (--cfg-options "test_evaluator.metrics.0.only={example or ["svhn"]}"):\n'
            + "\n".join(listed)
        )

    def _build(self, cfg: Mapping[str, Any]) -> Any:
        dataset = DATASETS.build(dict(cfg))
        if not len(dataset):
            raise ValueError(f"the data set {cfg['type']} is empty; look at its data_root, 'indices' and 'every'")
        sizes = [tuple(self._images([each[0]]).shape[1:]) for each in (self._inside, dataset)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"its images reach the network as {sizes[1]}, those of the data as {sizes[0]}; set size= (and "
                "channels=) of the outside set to the data's"
            )
        return dataset

    def _images(self, items: Sequence[Any]) -> torch.Tensor:
        """Items of a data set as the discriminator sees them."""
        assert self._collate is not None
        data = self._model.data_preprocessor(self._collate(items), True)
        images = getattr(data.get("data_samples"), "gt_img", None)
        if images is None:
            images = data["inputs"]["img"] if isinstance(data["inputs"], dict) else data["inputs"]
        return images

    def get_metric_sampler(self, model: nn.Module, dataloader: DataLoader, metrics: list) -> Sequence:
        """No batches for the loop to run: images are scored in :meth:`evaluate`."""
        return ()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Nothing comes batch by batch; see :meth:`get_metric_sampler`."""

    def compute_metrics(self, results: list) -> dict[str, float]:
        """From named results to the values returned."""
        values = {result.name: result.values for result in results if "/" not in result.name} | means(results)
        return {f"{name}/{measure}": value for name, each in values.items() for measure, value in each.items()}

    def evaluate(self, size: int = 0) -> dict[str, float]:
        """Score all sets and compare; every process returns the same values.

        Args:
            size: Ignored; there because mmengine's evaluator gives the size of the data set.
        """
        if self._model is None:
            raise RuntimeError(
                "OODMetric was not prepared; use it in an evaluator of mmagic (test_cfg=dict(type='MultiTestLoop'), "
                "test_evaluator=dict(type='Evaluator', ...)), which calls prepare()"
            )
        inside = self.scores(self._inside, "the data")
        outside = {name: self.scores(dataset, f"'{name}'") for name, dataset in self._outside.items()}
        results = [self._compare(name, inside, scores) for name, scores in outside.items()]
        if is_main_process():
            print_log(f"{self._protocol_line(len(inside))}\n{table(results, len(inside))}", "current")
            folder = self._folder()
            write_results(folder, results, self.protocol(len(inside)))
            drawn = ["scores.png", "roc.png"] if self.plots and plot(folder, inside, outside) else []
            print_log(f"Written to {folder}: {', '.join(['results.json', 'results.csv', *drawn])}", "current")
        return {f"{self.prefix}/{name}": value for name, value in self.compute_metrics(results).items()}

    def scores(self, dataset: Any, name: str) -> np.ndarray:
        """Scores of all images of a set, in its order, on every process.

        Raises:
            ValueError: If the model cannot score, or a score is not finite.
        """
        rank, world = get_dist_info()
        loader = DataLoader(
            Subset(dataset, range(rank, len(dataset), world)),
            batch_size=self.batch_size,
            collate_fn=list,
            generator=torch.Generator(),  # else the loader draws its seed from the global random state
        )
        with scoring(self._model) as discriminator:
            mixing = layers_that_mix(discriminator)
            if mixing and self.batch_size > 1:
                raise ValueError(
                    f"the discriminator's layers {mixing[:3]} compare the images of a batch, so that a batch of "
                    "outside images would give itself away; set batch_size=1"
                )
            parts = [
                outlier_scores(discriminator, self._images(items), class_reduction=self.class_reduction)
                for items in loader
            ]
        gathered = all_gather_object(torch.cat(parts).numpy() if parts else np.empty(0))
        scores = np.empty(len(dataset))
        for number, part in enumerate(gathered):
            scores[number::world] = part
        wrong = int((~np.isfinite(scores)).sum())
        if wrong:
            raise ValueError(f"{wrong} of {len(scores)} scores of {name} are not finite; the discriminator diverged")
        return scores

    def _compare(self, name: str, inside: np.ndarray, scores: np.ndarray) -> SetResult:
        intervals = {}
        if self.resamples:
            intervals = bootstrap_intervals(inside, scores, resamples=self.resamples, seed=self.seed)
        resizing = getattr(self._outside[name], "resizing", "as the data set gives them")
        return SetResult(name, len(scores), resizing, detection_measures(inside, scores), intervals)

    def protocol(self, inside_count: int) -> dict[str, Any]:
        """How the values came about, for the results file."""
        with scoring(self._model) as discriminator:
            classes = count_classes(discriminator)
        return dict(
            score="minus the discriminator's logit; higher is more outlying",
            model=type(self._model).__name__,
            classes=classes,
            class_reduction=self.class_reduction if classes else None,
            inside=type(self._inside).__name__,
            inside_split=getattr(self._inside, "split", None),
            inside_count=inside_count,
            batch_size=self.batch_size,
            intervals=f"95 % percentile bootstrap, {self.resamples} stratified resamples, seed {self.seed}",
        )

    def _protocol_line(self, inside_count: int) -> str:
        notes = self.protocol(inside_count)
        reduced = f", {self.class_reduction} over {notes['classes']} classes" if notes["classes"] else ""
        split = f" '{notes['inside_split']}'" if notes["inside_split"] else ""
        resizing = dict.fromkeys(getattr(each, "resizing", None) for each in self._outside.values())
        sizes = "; ".join(each for each in resizing if each)
        return (
            f"Anomaly detection: {inside_count} images of {notes['inside']}{split} against outside sets"
            f"{f' ({sizes})' if sizes else ''}; {notes['score']}{reduced}; {notes['intervals']}"
        )

    def _folder(self) -> Path:
        if self.out_dir is not None:
            return Path(self.out_dir)
        log = MMLogger.get_current_instance().log_file
        return (Path(log).parent if log else Path.cwd()) / "ood"


def _flatten(outside: Mapping[str, Any], only: Sequence[str] | None) -> dict[str, Mapping[str, Any]]:
    """Configs of all sets by ``'SET'`` or ``'FAMILY/MEMBER'``, those that were asked for."""
    if not isinstance(outside, Mapping) or not outside:
        raise ValueError(f"outside must hold the configs of data sets by name, at least one, but got {outside!r}")
    wanted = [only] if isinstance(only, str) else list(outside if only is None else only)
    unknown = [name for name in wanted if name not in outside]
    if unknown or not wanted:
        raise ValueError(f"only names {unknown or 'nothing'}; the outside sets are {', '.join(outside)}")
    found: dict[str, Mapping[str, Any]] = {}
    for name in dict.fromkeys(wanted):
        cfg = outside[name]
        if name == "mean" or "/" in name:
            raise ValueError(f"an outside set may not be called {name!r}: 'mean' and '/' have a meaning in the results")
        is_family = isinstance(cfg, Mapping) and cfg and "type" not in cfg
        for key, each in (
            {f"{name}/{member}": one for member, one in cfg.items()} if is_family else {name: cfg}
        ).items():
            if not isinstance(each, Mapping) or "type" not in each:
                raise ValueError(f"the outside set '{key}' must be a config with 'type', or a family, but is {each!r}")
            found[key] = each
    return found
