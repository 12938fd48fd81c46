"""The digits recipe at a size of seconds, also in processes: ``python tiny_gan.py JSON``.

Not a test module; see test_gan.py.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import Runner
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
import tiny_run

from nda_mm.engine import launch
from nda_mm.losses import discriminator_loss

RECIPE = "nda_biggan_digits.py"


def build(work_dir: Path | str, *, stop_at: int | None = None, resume: bool = False, **settings: Any) -> Runner:
    """The recipe's Runner, of 4 iterations in bfloat16, with a curriculum of negatives that changes after one.

    Settings are options of the config, by their dotted names, and ``launcher``, ``accumulate``, ``amp_dtype`` (None for
    float32) and further ``hooks``.
    """
    launcher, accumulate = settings.pop("launcher", "none"), settings.pop("accumulate", 1)
    amp_dtype, hooks = settings.pop("amp_dtype", "bfloat16"), settings.pop("hooks", [])
    options: dict[str, Any] = {
        "train_cfg.max_iters": 4,
        "train_cfg.val_interval": 100,
        "train_dataloader.batch_size": 4,
        "model.fake_weight": 0.25,
        "model.ema_config.start_iter": 1,
        "model.negative": dict(
            _delete_=True, type="Curriculum", milestones=[(0, dict(type="Stitch")), (1, dict(type="Jigsaw", grid=2))]
        ),
        "default_hooks.checkpoint.interval": stop_at or 100,
        "visualizer.vis_backends": [],
        "log_level": "WARNING",
        "env_cfg.cudnn_benchmark": False,
        "optim_wrapper.generator.accumulative_counts": accumulate,
        "optim_wrapper.discriminator.accumulative_counts": accumulate,
        "val_cfg": None,
        "val_dataloader": None,
        "val_evaluator": None,
        **settings,
    }
    cfg = launch.prepare_training(
        Namespace(
            config=RECIPE,
            work_dir=str(work_dir),
            cfg_options=options,
            launcher=launcher,
            local_rank=0,
            seed=3,
            amp=amp_dtype is not None,
            amp_dtype=amp_dtype,
            resume="auto" if resume else None,
        )
    )
    cfg.experiment_name = f"gan_{next(tiny_run._RUNS)}"
    cfg.custom_hooks += hooks
    if stop_at is not None:
        cfg.custom_hooks.append(dict(type="StopHook", at=stop_at))
    return launch.build_runner(cfg)


def train(work_dir: Path | str, **settings: Any) -> Runner:
    """Train to the end, or to where the hook stops it."""
    runner = build(work_dir, **settings)
    with suppress(tiny_run.Interrupted):
        runner.train()
    return runner


def tensors(tree: Any, prefix: str = "") -> dict[str, torch.Tensor]:
    """All tensors and numbers of a checkpoint's part, by their place in it."""
    if isinstance(tree, dict):
        return {k: v for key, value in tree.items() for k, v in tensors(value, f"{prefix}.{key}").items()}
    if isinstance(tree, (list, tuple)):
        return tensors(dict(enumerate(tree)), prefix)
    return {prefix: torch.as_tensor(tree)} if isinstance(tree, (torch.Tensor, int, float)) else {}


def assert_same_ends(ours: Path, theirs: Path, at: int = 4) -> dict[str, Any]:
    """The last checkpoints of two runs hold the same, down to the last bit."""
    found, expected = (torch.load(folder / f"iter_{at}.pth", weights_only=True) for folder in (ours, theirs))
    for part in ("state_dict", "optimizer", "nda_mm_training"):
        tiny_run.assert_equal(tensors(found[part]), tensors(expected[part]))
    return found


def critic_gradients(model: nn.Module, part: slice) -> dict[str, torch.Tensor]:
    """Gradients of the discriminator's loss over a part of a fixed batch of reals, fakes and negatives."""
    generator = torch.Generator().manual_seed(17)
    device = next(model.parameters()).device
    real, fake, negative = (torch.randn(8, 3, 16, 16, generator=generator)[part].to(device) for _ in range(3))
    label = torch.arange(8)[part].to(device)
    model.zero_grad()
    logits = model.scores(dict(fake=(fake, label), real=(real, label), negative=(negative, label)))
    terms = discriminator_loss(**logits, fake_weight=0.25)
    torch.stack(list(terms.values())).sum().backward()
    critic = getattr(model.discriminator, "module", model.discriminator)
    return {name: p.grad.clone() for name, p in critic.named_parameters() if p.grad is not None}


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    run = train(**json.loads(sys.argv[1]))
    model = run.model.module
    fixed = torch.linspace(0, 1, 8 * 3 * 16 * 16).reshape(8, 3, 16, 16).to(next(model.parameters()).device)
    outcome = {
        "weights": tiny_run.weights(run),
        "noise": model.noise_fn(num_batches=4),
        "negatives": model.negative(fixed),
    }
    if run.iter == 4:
        critic = model.discriminator.module
        before = {name: value.clone() for name, value in critic.state_dict().items()}
        outcome["gradients"] = critic_gradients(model, slice(0, 4) if run.rank == 0 else slice(4, 8))
        critic.load_state_dict(before)
        model.discriminator = critic  # out of DDP: what one process does with both halves
        outcome["gradients_of_both"] = critic_gradients(model, slice(0, 8))
    tiny_run.save_outcome(run, **outcome)
