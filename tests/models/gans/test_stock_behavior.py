"""What mmagic's own tests of its GANs check holds for our classes without negatives: same results, same refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.runner import set_random_seed

pytest.importorskip("mmagic")
from tiny_gans import CASES, Case, differing

#: mmagic's BaseConditionalGAN cannot draw classes where there are none.
NAMES = [name for name in CASES if name != "SNGAN without classes"]
#: Of one kind, sampled alike: unconditional, of classes, growing, and those with styles.
KINDS = ["DCGAN", "SNGAN", "PGGAN", "StyleGAN2", "StyleGAN3", "MSPIEStyleGAN2"]


def each(names: list[str]) -> Any:
    marked = [(n, [pytest.mark.slow] if CASES[n].slow or n == "WGANGP" else []) for n in names]
    return pytest.mark.parametrize("case", [pytest.param(CASES[n], id=n, marks=marks) for n, marks in marked])


EMA = dict(type="ExponentialMovingAverage", interval=1, momentum=0.3)


def both(case: Case, **settings: Any) -> tuple[Any, Any]:
    """Our class in the host's manner, and the host's, with the same weights."""
    ours, host = case.build(discriminator_forward="separate", **settings), case.build(host=True, **settings)
    if case.classes:  # see ClassConditionalMixin
        host.data_sample_to_label = lambda s: s.gt_label.label.flatten() if s is not None and "gt_label" in s else None
    return ours, host


def flat(sample: Any) -> dict[str, Any]:
    """Everything that a data sample holds, by name."""
    found: dict[str, Any] = {}
    for key, value in sample.all_items():
        found |= {f"{key}.{k}": v for k, v in flat(value).items()} if hasattr(value, "all_items") else {key: value}
    return found


def samples(model: Any, how: str, given: Any) -> list[dict[str, Any]]:
    set_random_seed(3)  # StyleGANs draw the noise of their layers
    with torch.no_grad():
        return [flat(sample) for sample in (model(given) if how == "forward" else getattr(model, how)(given))]


@each(KINDS)
def test_forward_and_its_steps_give_the_hosts_samples(case: Case) -> None:
    ours, host = both(case, ema_config=EMA)
    noise = torch.randn(2, case.noise, generator=torch.Generator().manual_seed(0))
    inputs: list[tuple[str, Any]] = [
        *(("forward", dict(noise=noise, sample_model=name)) for name in ("ema", "orig", "ema/orig")),
        ("val_step", dict(inputs=dict(num_batches=2))),
    ]
    if case.scales:
        inputs.append(("forward", dict(noise=noise, curr_scale=case.scales[0], transition_weight=0.5)))
    for how, given in inputs:
        found, expected = samples(ours, how, given), samples(host, how, given)
        assert len(found) == len(expected) == 2
        for mine, its in zip(found, expected, strict=True):
            assert mine.keys() == its.keys()
            for key, value in its.items():
                assert torch.equal(mine[key], value) if isinstance(value, torch.Tensor) else mine[key] == value, key


@each(NAMES)
def test_steps_with_an_ema_are_the_hosts(case: Case) -> None:
    settings = dict(ema_config=dict(EMA, start_iter=2))  # copied at the first step, averaged from the second
    ours, host = both(case, **settings)
    mine, its = (case.train(model, range(3))[-1] for model in (ours, host))
    assert {name: float(mine[name]) for name in its} == {name: float(value) for name, value in its.items()}
    assert not differing(host, ours)
    assert ours.state_dict().keys() - host.state_dict().keys() <= {"stage_counters"}
    assert int(host.generator_ema.steps) > 0


@each(KINDS[:3])
def test_a_generator_alone_is_built_and_draws(case: Case) -> None:
    """As mmagic's own classes allow it; training is refused."""
    networks = {**case.networks(), "discriminator": None}
    model = case.cls(
        data_preprocessor=dict(type="DataPreprocessor"), **networks, negative=dict(type="Jigsaw"), uniform_biases=True,
        augment=dict(type="DiffAugment"),
    )  # fmt: skip
    model.init_weights()
    assert model.discriminator is None
    drawn = model.eval()(dict(num_batches=2))
    assert len(drawn) == 2 and drawn[0].fake_img.shape[-2:] == (case.size, case.size)
    with pytest.raises(ValueError, match="discriminator=None"):
        model.train_step(case.batch(), None)


def test_images_of_another_size_are_refused() -> None:
    case = CASES["DCGAN"]
    model = case.build()
    other = case.size * 3 // 4
    batch = case.batch()
    for sample in batch["data_samples"]:
        sample.gt_img = sample.gt_img[..., :other, :other]
    with pytest.raises(ValueError, match=f"{other}x{other}.*{case.size}x{case.size}"):
        model.train_step(batch, case.optimizers(model))
