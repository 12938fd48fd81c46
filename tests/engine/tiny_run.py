"""The small run that the engine's tests train, also from processes of its own: ``python tiny_run.py JSON``.

Not a test module; see conftest.py.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import Runner
from torch import nn

from nda_mm import compat
from nda_mm.engine import launch
from nda_mm.utils.files import recipe_path

_RUNS = itertools.count()
SGD = dict(type="SGD", lr=0.05, momentum=0.9)
READS: list[int] = []  # indices that this process has read for training


class Interrupted(Exception):
    """Raised where a test stops a run."""


@DATASETS.register_module(force=True)
class TinyDataset(BaseDataset):
    """Vectors with random augmentation by three libraries."""

    METAINFO = {"classes": ("low", "high")}

    def __init__(self, length: int = 14, training: bool = True, **kwargs: Any) -> None:
        self.length, self.training = length, training
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        generator = np.random.default_rng(5)
        return [{"vector": generator.standard_normal(6).astype(np.float32)} for _ in range(self.length)]

    def prepare_data(self, idx: int) -> dict[str, Any]:
        vector = torch.from_numpy(self.get_data_info(idx)["vector"].copy())
        if self.training:
            READS.append(idx)
            if np.random.rand() < 0.5:  # noqa: NPY002
                vector = vector.flip(0)
            vector = vector * random.uniform(0.8, 1.2) + 0.1 * torch.randn(6)
        return {"inputs": vector, "index": idx}


def network(width_in: int, width_out: int) -> nn.Sequential:
    """One of the two networks."""
    first, last = nn.Linear(width_in, 12), nn.Linear(12, width_out)
    return nn.Sequential(first, nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), last)


@MODELS.register_module(force=True)
class TinyGAN(BaseModel):
    """A generator and a critic, trained in turns, as GANs are."""

    def __init__(self, spoil_at: int = -1) -> None:
        super().__init__()
        self.generator, self.critic = network(4, 6), network(6, 1)
        self.spoil_at = spoil_at
        self.steps = 0
        self.noises: list[torch.Tensor] = []

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        raise NotImplementedError

    def train_step(self, data: dict[str, Any], optim_wrapper: OptimWrapperDict) -> dict[str, torch.Tensor]:
        real = torch.stack([sample.to(next(self.parameters()).device) for sample in data["inputs"]])
        noise = torch.randn(len(real), 4, device=real.device) + float(np.random.rand()) + random.random()  # noqa: NPY002
        self.noises.append(noise)
        with optim_wrapper["critic"].optim_context(self.critic):
            fake = self.generator(noise).detach()
            loss_critic = (1 - self.critic(real)).relu().mean() + (1 + self.critic(fake)).relu().mean()
        self.steps += 1
        if self.steps == self.spoil_at:
            loss_critic = loss_critic * float("nan")
        optim_wrapper["critic"].update_params(loss_critic)
        self.critic.requires_grad_(False)
        with optim_wrapper["generator"].optim_context(self.generator):
            loss_generator = -self.critic(self.generator(noise)).mean()
        optim_wrapper["generator"].update_params(loss_generator)
        self.critic.requires_grad_(True)
        return {"loss_critic": loss_critic.detach(), "loss_generator": loss_generator.detach()}

    def val_step(self, data: dict[str, Any]) -> list[dict[str, Any]]:
        # Validation draws from every generator, as samplers do; training must not notice.
        noise = torch.randn(len(data["inputs"]), 4) * random.random() + float(np.random.rand())  # noqa: NPY002
        scores = self.critic(self.generator(noise))[:, 0]
        return [{"index": int(i), "score": float(s)} for i, s in zip(data["index"], scores)]

    test_step = val_step


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
class TinyConstructor:
    """Adam for the generator, SGD with momentum for the critic."""

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: Any = None) -> None:
        self.accumulative_counts = optim_wrapper_cfg["accumulative_counts"]

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        model = getattr(model, "module", model)
        optimizers = dict(
            generator=torch.optim.Adam(model.generator.parameters(), lr=0.01, betas=(0.0, 0.999)),
            critic=torch.optim.SGD(model.critic.parameters(), lr=0.05, momentum=0.9),
        )
        counts = self.accumulative_counts
        return OptimWrapperDict(**{name: OptimWrapper(each, counts) for name, each in optimizers.items()})


@METRICS.register_module(force=True)
class TinyMetric(BaseMetric):
    """The number of different samples seen, and their mean score."""

    def process(self, data_batch: Any, data_samples: list[dict[str, Any]]) -> None:
        self.results.extend(data_samples)

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        score = float(np.mean([result["score"] for result in results]))
        return {"seen": float(len({result["index"] for result in results})), "score": score}


@HOOKS.register_module(force=True)
class StopHook(Hook):
    """Stops a run after an iteration by an exception, or as ``kill -9`` does in the midst of its save."""

    priority = "LOWEST"

    def __init__(self, at: int, kill: bool = False) -> None:
        self.at, self.kill = at, kill

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        if self.kill and runner.iter + 1 == self.at:
            os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)  # written, and not yet renamed

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if runner.iter + 1 == self.at:
            raise Interrupted


@HOOKS.register_module(force=True)
class NoisyHook(Hook):
    """Draws from every generator, as a hook that logs samples may."""

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        self.drawn.append(float(torch.rand(())) + random.random() + float(np.random.rand()))  # noqa: NPY002


@HOOKS.register_module(force=True)
class LossesHook(Hook):
    """Keeps what each iteration reported."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.seen.append({name: float(value.detach()) for name, value in outputs.items()})


class Calls(Hook):
    """Calls functions of the Runner at stages of a run, after what other hooks do there."""

    priority = "LOWEST"

    def __init__(self, **stages: Callable[[Runner], Any]) -> None:
        for stage, call in stages.items():
            setattr(self, stage, lambda runner, *args, call=call, **kwargs: call(runner))


def make_config(
    work_dir: Path | str,
    *,
    epochs: bool = False,
    steps: int = 10,
    accumulate: int = 1,
    validate: bool = False,
    infinite: bool = True,
    custom_hooks: tuple[dict[str, Any], ...] = (),
    spoil_at: int = -1,
    length: int = 14,
    wrapper: dict[str, Any] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """The config of a run of ``steps`` iterations (or epochs) of batches of 4 out of 14 samples.

    Further settings are those of :func:`make_host_config`.
    """
    cfg = make_host_config(
        work_dir,
        dataset=dict(type="TinyDataset", length=length),
        batch_size=4,
        drop_last=False,
        collate="pseudo_collate",
        hooks=[*custom_hooks],
        loop="nda_mm.ExactEpochLoop" if epochs else "nda_mm.ExactIterLoop",
        epochs=steps,
        optim_wrapper=dict(constructor="TinyConstructor", accumulative_counts=accumulate),
        **settings,
    )
    if not epochs:
        cfg["train_cfg"]["val_interval"] = 3
        if infinite:
            cfg["train_dataloader"]["sampler"]["type"] = "InfiniteSampler"
    if validate:
        dataset, sampler = dict(type="TinyDataset", training=False, length=length), dict(type="DefaultSampler")
        cfg["val_dataloader"] = dict(batch_size=4, num_workers=0, sampler=dict(sampler, shuffle=False), dataset=dataset)
        cfg.update(val_cfg={}, val_evaluator=dict(type="TinyMetric"))
    warmup = dict(type="LinearLR", start_factor=0.5, by_epoch=False, end=8)
    return dict(
        cfg,
        model=dict(type="TinyGAN", spoil_at=spoil_at),
        param_scheduler=dict(generator=[warmup], critic=[warmup]),
        default_scope="mmengine",
        model_wrapper_cfg=wrapper,
    )


def make_host_config(
    work_dir: Path | str,
    *,
    dataset: dict[str, Any],
    batch_size: int,
    hooks: list[dict[str, Any]],
    collate: str = "default_collate",
    drop_last: bool = True,
    workers: int = 0,
    seed: int | None = 3,
    epochs: int = 2,
    loop: str = "nda_mm.ExactEpochLoop",
    optim_wrapper: dict[str, Any] | None = None,
    checkpoint: dict[str, Any] | None = None,
    save_every: int | None = None,
    stop_at: int | None = None,
    kill: bool = False,
    compiled: bool = False,
    launcher: str = "none",
) -> dict[str, Any]:
    """What the small runs have in common, whatever they train; ``epochs`` are iterations if the loop counts them."""
    stop = [] if stop_at is None else [dict(type="StopHook", at=stop_at, kill=kill)]
    # Each save lets yapf format the config, which takes longer than these runs: save where it is needed.
    saves = dict(type="nda_mm.SafeCheckpointHook", interval=save_every or stop_at or 1000, by_epoch=False)
    return dict(
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=workers,
            persistent_workers=workers > 0,
            drop_last=drop_last,
            sampler=dict(type="DefaultSampler", shuffle=True),
            collate_fn=dict(type=collate),
            dataset=dataset,
        ),
        train_cfg={"type": loop, "max_epochs" if "Epoch" in loop else "max_iters": epochs},
        optim_wrapper=optim_wrapper or dict(optimizer=SGD),
        default_hooks=dict(checkpoint={**saves, **(checkpoint or {})}, logger=dict(type="LoggerHook", interval=1000)),
        custom_hooks=[dict(type="LossesHook"), *hooks, *stop],
        visualizer=dict(type="Visualizer", vis_backends=[]),
        compile=compiled,
        randomness=dict(seed=seed, diff_rank_seed=True),
        log_level="WARNING",
        env_cfg=dict(mp_cfg=dict(mp_start_method="fork")),
        launcher=launcher,
    )


def build_recipe(recipe: str, work_dir: Path | str, **options: Any) -> Runner:
    """The Runner of a shipped recipe without validation, with further options by their dotted names."""
    cfg = Config.fromfile(recipe_path(recipe))
    without = dict.fromkeys(("val_cfg", "val_dataloader", "val_evaluator"))
    cfg.merge_from_dict({"work_dir": str(work_dir), "launcher": "none", **without, **options})
    cfg.experiment_name = f"{Path(work_dir).name}_{next(_RUNS)}"
    return launch.build_runner(cfg)


def build(cfg: dict[str, Any], resume: bool = False) -> Runner:
    """A Runner for a config, resuming the newest good checkpoint if asked to."""
    compat.apply_patches("mmengine")
    # mmengine shares loggers and message hubs between runs of one name that start within one second.
    config = Config({**cfg, "experiment_name": f"{Path(cfg['work_dir']).name}_{next(_RUNS)}"})
    launch.start_processes(config)
    launch.set_resume(config, "auto" if resume else None)
    return Runner.from_cfg(config)


def train(cfg: dict[str, Any], resume: bool = False, **stages: Callable[[Runner], Any]) -> Runner:
    """Train to the end, or to where a hook stops it, with calls at stages of the run."""
    READS.clear()
    runner = build(cfg, resume)
    runner.register_hook(Calls(**stages))
    try:
        runner.train()
    except Interrupted:
        # What a killed process would not have; the loader's workers end with their iterator.
        runner.train_loop.dataloader_iterator = None
        runner.train_loop.dataloader._iterator = None
    return runner


def hook(runner: Runner, kind: str) -> Any:
    """The Runner's hook of a kind."""
    return next(found for found in runner.hooks if type(found).__name__ == kind)


def losses(runner: Runner) -> list[dict[str, float]]:
    """What LossesHook has seen."""
    return hook(runner, "LossesHook").seen


def weights(runner: Runner) -> dict[str, torch.Tensor]:
    """Everything that training has made: weights, buffers, and the optimizers' states."""
    model, wrappers = getattr(runner.model, "module", runner.model), runner.optim_wrapper
    flat = {name.replace("module.", ""): value.clone() for name, value in model.state_dict().items()}
    for name, wrapper in wrappers.items() if isinstance(wrappers, OptimWrapperDict) else [("optimizer", wrappers)]:
        for number, state in wrapper.optimizer.state_dict()["state"].items():
            flat |= {f"{name}.{number}.{k}": torch.as_tensor(v).clone() for k, v in state.items() if v is not None}
    return flat


def learnt(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those on which ranks agree: all but running statistics."""
    return {name: value for name, value in weights.items() if "running" not in name}


def assert_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """The same names, and under each the same bits."""
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different, different


def assert_resumed(
    make: Callable[..., dict[str, Any]], folder: Path, resumed: dict[str, Any] | None = None, **settings: Any
) -> list[dict[str, float]]:
    """A run stopped after 3 iterations and resumed ends as one that was not; what the second reported.

    Settings are those of ``make``; ``resumed`` are those that the resumed run has besides.
    """
    straight = train(make(folder / "straight", **settings))
    train(make(folder / "stopped", stop_at=3, **settings))
    again = train(make(folder / "stopped", **{**settings, **(resumed or {})}), resume=True)
    assert_equal(weights(again), weights(straight))
    assert losses(again) == losses(straight)[3:]
    return losses(straight)


def assert_two_ranks_agree(folder: Path, script: str, **settings: Any) -> None:
    """Two ranks learn the same weights from data and negatives of their own, and resume exactly."""
    straight, _ = train_in_processes(folder / "straight", script, **settings)
    assert_equal(*(learnt(found["weights"]) for found in straight))
    assert straight[0]["losses"] != straight[1]["losses"]  # of this rank's own rows
    train_in_processes(folder / "stopped", script, stop_at=1, **settings)
    resumed, _ = train_in_processes(folder / "stopped", script, resume=True, **settings)
    for ours, theirs in zip(resumed, straight, strict=True):
        assert_equal(ours["weights"], theirs["weights"])


def start(script: str, options: dict[str, Any], **environment: str) -> subprocess.Popen[str]:
    """Start one of the ``tiny_*.py`` in a process, with options for its ``make_config`` or ``build``."""
    folder = Path(__file__).parent
    common = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder.parents[1]), os.environ.get("PYTHONPATH", "")]),
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, str(folder / script), json.dumps(options)],
        env={**common, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def train_in_processes(
    work_dir: Path, script: str = "tiny_run.py", *, processes: int = 2, device: str = "cpu", **settings: Any
) -> tuple[list[dict[str, Any]], str]:
    """Train in processes that must succeed; what each saved, and what they printed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {"work_dir": str(work_dir), "launcher": "pytorch", **settings}
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    started = [start(script, options, **environment, RANK=str(r), LOCAL_RANK=str(r)) for r in range(processes)]
    outputs = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0] * processes, "\n".join(text[-4000:] for text in outputs)
    outcomes = [
        torch.load(work_dir / f"outcome_{rank}.pt", map_location="cpu", weights_only=True) for rank in range(processes)
    ]
    return outcomes, "\n".join(outputs)


def save_outcome(runner: Runner, **outcome: Any) -> None:
    """Save what a process of :func:`train_in_processes` has to tell, and end it."""
    torch.save(outcome, Path(runner.work_dir) / f"outcome_{runner.rank}.pt")
    launch.end_processes()


def main(make: Callable[..., dict[str, Any]]) -> Runner:
    """In a process of its own: train what the JSON on the command line says, to its end."""
    torch.set_num_threads(1)
    options = json.loads(sys.argv[1])
    resume_from = options.pop("resume", False)
    return train(make(**options), resume_from)


def save_losses(runner: Runner) -> None:
    """Save the weights and what LossesHook has seen."""
    save_outcome(runner, weights=weights(runner), losses=losses(runner))


if __name__ == "__main__":
    finished = main(make_config)
    model = getattr(finished.model, "module", finished.model)
    scalars = finished.message_hub.log_scalars
    seen = scalars["val/seen"].current().item() if "val/seen" in scalars else None
    save_outcome(finished, weights=weights(finished), noises=model.noises, seen=seen)
