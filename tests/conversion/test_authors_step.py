"""A training step of the paper authors' code, and ours from the same weights, in float64.

Expected values: authors_step_width4.pt, one step of ermongroup/NDA@7d7232e at width 4 in float64. In the file what is
exact in float32 is float32, and gradients and weights after the step are kept as :func:`sketch` has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor

from nda_mm.compat import apply_patches
from nda_mm.conversion import convert_official, official_names
from nda_mm.utils.files import recipe_path

pytest.importorskip("mmagic", reason="the networks are mmagic's")
RECIPE = recipe_path("nda_biggan_cifar10.py")
NETWORKS = {"G": "generator", "D": "discriminator"}
LOSSES = {
    "D_loss_real": ("loss_disc_real", 1.0),
    "D_loss_fake": ("loss_disc_fake", 0.25),
    "D_loss_negative": ("loss_disc_negative", 0.75),
    "D_loss": ("loss", 1.0),
    "G_loss": ("loss_gen", 1.0),
}
#: Before a batch normalization: the true gradient is zero, what is computed is rounding, and Adam divides by its size.
NO_GRADIENT = [f"blocks.{block}.0.{conv}.bias" for block in range(3) for conv in ("conv1", "conv2", "conv_sc")]


def our_step(before: dict[str, dict[str, Tensor]], inputs: dict[str, Tensor], forward: str) -> dict[str, Any]:
    """The outcome of one step, in the authors' names.

    Args:
        before: State dicts of their networks 'G' and 'D', in float64.
        inputs: What their step was given, in float64.
        forward: ``discriminator_forward``.
    """
    apply_patches()
    cfg = Config.fromfile(RECIPE)
    cfg.model.update(discriminator_steps=1, discriminator_forward=forward, ema_config=None)
    for network in NETWORKS.values():
        cfg.model[network].base_channels = 4
    with DefaultScope.overwrite_default_scope("mmagic"):
        model = MODELS.build(cfg.model).double()
        optimizers = build_optim_wrapper(model, cfg.optim_wrapper)
    outcome: dict[str, Any] = {}
    names = {net: official_names(network) for net, network in NETWORKS.items()}
    for net, network in NETWORKS.items():
        module = getattr(model, network)
        converted = convert_official(before[net])
        # In training torch iterates before its first pass, as they do, and starts from the vector before.
        converted |= {names[net][name]: u0[0] for name, u0 in before[net].items() if name.endswith("u0")}
        assert not module.load_state_dict(converted, strict=False).unexpected_keys
        optimizers[network].optimizer.register_step_pre_hook(keep_gradients(outcome, net, module, names[net]))
    logits: list[Tensor] = []
    model.discriminator.register_forward_hook(lambda module, given, scores: logits.append(scores.detach()))
    noise, labels = ([inputs[f"{kind}_{net}"] for net in "DG"] for kind in "zy")
    model.noise_fn = lambda num_batches: noise.pop(0)
    model.label_fn = lambda num_batches: labels.pop(0)
    model.negative.forward = lambda x, **kwargs: inputs["negatives"]
    model.data_preprocessor.forward = lambda data, training: data
    from mmagic.structures import DataSample

    sample = DataSample(gt_img=inputs["x"])
    sample.set_gt_label(inputs["y"])
    MessageHub.get_current_instance().update_info("iter", 0)
    said = model.train().train_step(dict(inputs=dict(img=inputs["x"]), data_samples=sample), optimizers)
    outcome |= {theirs: float(said[ours]) / weight for theirs, (ours, weight) in LOSSES.items() if ours in said}
    scores = torch.cat(logits).split(len(inputs["x"]))
    outcome |= dict(zip(("logits_fake", "logits_real", "logits_negative", "logits_G"), scores, strict=True))
    for net, network in NETWORKS.items():
        after = getattr(model, network).state_dict()
        outcome[f"{net}_after"] = {
            theirs: after[ours].reshape(before[net][theirs].shape) for theirs, ours in names[net].items()
        }
    return outcome


def keep_gradients(outcome: dict[str, Any], net: str, module: torch.nn.Module, names: dict[str, str]) -> Callable:
    def keep(*args: Any) -> None:
        parameters = dict(module.named_parameters())
        outcome[f"{net}_grads"] = {
            theirs: parameters[ours].grad.clone() for theirs, ours in names.items() if ours in parameters
        }

    return keep


def sketch(tensors: Mapping[str, Tensor]) -> dict[str, list[float]]:
    """Length and three projections of each tensor."""
    sketches = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().double().flatten()
        place = torch.arange(1, len(flat) + 1, dtype=torch.float64)
        sketches[name] = [float(flat.norm()), *(float(flat @ (place * k**0.5).cos()) for k in (2, 3, 5))]
    return sketches


def double(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.double() if value.is_floating_point() else value for name, value in tensors.items()}


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Compare a step with theirs: gradients and weights after it by their sketches."""
    for name in LOSSES:
        assert ours.get(name, theirs[name]) == pytest.approx(theirs[name], abs=1e-12), name
    for name in ("logits_fake", "logits_real", "logits_negative", "logits_G"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-12)
    for name in ("D_grads", "G_grads", "D_after", "G_after"):
        found = sketch(ours[name])
        expected = {key: value for key, value in theirs[name].items() if not key.endswith("sv0")}
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            tolerance = 1e-9 if name == "G_after" and key in NO_GRADIENT else 1e-12
            one, other = (torch.as_tensor(each, dtype=torch.float64) for each in (found[key], value))
            torch.testing.assert_close(
                one, other, rtol=1e-12, atol=tolerance, msg=f"{name} {key}: {one}, theirs {other}"
            )


@pytest.mark.parametrize(
    ("vectors", "way", "forward"),  # where spectral norm starts, their way through the discriminator, and ours
    [
        ("converged", "two_pass", "joint"),
        ("converged", "one_pass", "joint"),
        ("fresh", "one_pass", "joint"),
        ("converged", "two_pass", "separate"),
        ("converged", "one_pass", "separate"),
    ],
)
def test_losses_gradients_and_update_are_theirs(vectors: str, way: str, forward: str) -> None:
    kept = torch.load(Path(__file__).with_name("authors_step_width4.pt"), weights_only=True)
    before = {
        net: double(kept["before"][net] | (kept["converged"][net] if vectors == "converged" else {})) for net in "GD"
    }
    ours = our_step(before, double(kept["inputs"]), forward)
    compare(ours, kept["results"][f"{vectors}, {way}"])
