"""Pix2Pix with negatives, against mmagic's own step and against a step written out by hand."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapperDict

pytest.importorskip("mmagic")

from mmagic.models.editors import Pix2Pix
from mmagic.structures import DataSample
from tiny_gans import RATE, MirroredNegative, descent, differing
from tiny_gans import train as train_on
from torch import Tensor, nn

from nda_mm.models.gans.pix2pix import NDAPix2Pix

BATCH, SIZE = 4, 32  # the shallowest U-Net of mmagic halves five times


def build(cls: type = NDAPix2Pix, norm: str = "BN", **settings: Any) -> Any:
    torch.manual_seed(0)
    init = dict(type="normal", gain=0.3)
    discriminator = dict(
        type="PatchDiscriminator", in_channels=6, base_channels=4, num_conv=1, norm_cfg=dict(type=norm), init_cfg=init
    )  # fmt: skip
    model = cls(
        data_preprocessor=dict(type="DataPreprocessor", data_keys=["img_edge", "img_digit"]),
        generator=dict(
            type="UnetGenerator", in_channels=3, out_channels=3, num_down=5, base_channels=4, norm_cfg=dict(type="BN"),
            use_dropout=True, init_cfg=init,
        ),
        loss_config=dict(pixel_loss_weight=10.0),
        default_domain="digit",
        reachable_domains=["digit"],
        related_domains=["digit", "edge"],
        **{"discriminator": discriminator, **settings},
    )  # fmt: skip
    for network in (*model.generators.values(), *(model.discriminators or {}).values()):
        network.init_weights()
    return model


def optimizers(model: nn.Module) -> OptimWrapperDict:
    return descent(generators=model.generators, discriminators=model.discriminators)


def batch(seed: int = 0) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (BATCH, 2, 3, SIZE, SIZE), generator=draw, dtype=torch.uint8)
    inputs = [{"img_edge": edge, "img_digit": digit} for edge, digit in images]
    samples = []
    for item in inputs:
        sample = DataSample()
        sample.set_tensor_data({name: image.clone() for name, image in item.items()})
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def train(model: Any, steps: int) -> list[dict[str, Tensor]]:
    torch.manual_seed(7)  # of the generator's dropout
    return train_on(model, optimizers(model), (batch(step) for step in range(steps)))


@pytest.mark.parametrize(
    ("settings", "negatives"),
    [({}, dict(negative=dict(type="Jigsaw"), fake_weight=1.0)), (dict(discriminator_steps=2, disc_init_steps=2), {})],
)
def test_without_negatives_steps_are_mmagics_own_bit_for_bit(settings: dict, negatives: dict) -> None:
    """So they are in a warm-up at fake_weight 1."""
    ours, host = build(**settings, **negatives), build(Pix2Pix, **settings)
    start = copy.deepcopy(host)
    our_logs, host_logs = train(ours, 3), train(host, 3)
    assert not differing(host, ours)
    assert any(not torch.equal(a, b) for a, b in zip(start.parameters(), host.parameters(), strict=True))
    for our_log, host_log in zip(our_logs, host_logs, strict=True):
        assert {k: our_log[k].item() for k in host_log} == {k: v.item() for k, v in host_log.items()}


def written_out(model: Any, data: dict[str, Any], weight: float, kind: str, joint: bool) -> dict[str, Tensor]:
    """One step of both networks, from the definition; returns the terms of the losses."""
    edge, digit = (
        torch.stack([item[f"img_{name}"] for item in data["inputs"]]) / 127.5 - 1 for name in ("edge", "digit")
    )
    generator, critic = model.generators["digit"], model.discriminators["digit"]
    wrappers = {"G": torch.optim.SGD(generator.parameters(), RATE), "D": torch.optim.SGD(critic.parameters(), RATE)}
    torch.manual_seed(7)
    fake = generator(edge)
    pairs = [torch.cat([edge, target], 1) for target in (fake.detach(), digit, digit.flip(-2))]
    scored = critic(torch.cat(pairs)).chunk(3) if joint else [critic(pair) for pair in pairs]
    towards: dict[str, Any] = {
        "logistic": lambda v, real: (v.sigmoid() if real else 1 - v.sigmoid()).log().neg().mean(),
        "least_squares": lambda v, real: (v - (1 if real else 0)).square().mean(),
    }
    loss = towards[kind]
    terms = {
        "loss_gan_d_fake": weight * loss(scored[0], False),
        "loss_gan_d_real": loss(scored[1], True),
        "loss_gan_d_negative": (1 - weight) * loss(scored[2], False),
    }
    (0.5 * sum(terms.values())).backward()
    wrappers["D"].step()

    terms["loss_gan_g"] = loss(critic(torch.cat([edge, fake], 1)), True)
    terms["loss_pixel"] = 10.0 * (digit - fake).abs().mean()
    generator.zero_grad()
    (terms["loss_gan_g"] + terms["loss_pixel"]).backward()
    wrappers["G"].step()
    return terms


@pytest.mark.parametrize(
    ("weight", "kind", "norm", "joint"),
    [(0.25, "logistic", "BN", False), (0.7, "least_squares", "IN", True)],
)
def test_a_step_with_negatives_is_the_one_written_out(weight: float, kind: str, norm: str, joint: bool) -> None:
    loss = {} if kind == "logistic" else dict(adversarial_loss=kind)
    ours = build(norm=norm, negative=MirroredNegative(), fake_weight=weight, **loss)
    by_hand = copy.deepcopy(ours)
    (log,) = train(ours, 1)
    terms = written_out(by_hand, batch(0), weight, kind, joint)
    for name, value in terms.items():
        torch.testing.assert_close(log[name], value.detach(), rtol=0, atol=1e-5 if name == "loss_pixel" else 1e-6)
    assert not differing(by_hand, ours, 1e-6)


def test_schedules_count_generator_steps() -> None:
    model = build(negative=MirroredNegative(), fake_weight=[(0, 1.0), (1, 0.5)], discriminator_steps=2)
    logs = train(model, 3)
    assert [log["fake_weight"].item() for log in logs] == [1.0, 1.0, 0.5]
    assert ["loss_gan_d_negative" in log for log in logs] == [False, False, True]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="discriminator_forward='joint'"):  # batch normalization keeps kinds apart
        build(discriminator_forward="joint")
    with pytest.raises(ValueError, match="augment"):
        build(augment=dict(type="DiffAugment"))
    with pytest.raises(ValueError, match=r"3.*32"):
        train(build(negative=dict(type="Jigsaw", grid=3)), 1)
    data = batch()
    for item in data["inputs"]:
        item.update({name: image[..., :24] for name, image in item.items()})
    with pytest.raises(ValueError, match="multiples of 32"):
        build().val_step(data)


def test_a_generator_alone_translates() -> None:
    """As mmagic's own class allows it; training is refused."""
    model = build(discriminator=None, uniform_biases=True)
    model.init_weights()
    assert model.discriminator is None and len(model.val_step(batch())) == BATCH
    with pytest.raises(ValueError, match="discriminator=None"):
        model.train_step(batch(), OptimWrapperDict())


def test_weights_are_drawn_which_the_hosts_own_way_cannot() -> None:
    model = build()
    for parameter in model.parameters():
        parameter.data.zero_()
    model.init_weights()
    drawn = torch.cat([weight.flatten() for name, weight in model.named_parameters() if "conv.weight" in name])
    assert abs(float(drawn.std()) / 0.3 - 1) < 0.05 and abs(float(drawn.mean())) < 0.02


def test_an_output_is_tested_which_the_hosts_own_way_cannot() -> None:
    outputs = build().test_step(batch())
    assert len(outputs) == BATCH
    for sample, item in zip(outputs, batch()["inputs"], strict=True):
        assert sample.get("fake_digit").shape == (3, SIZE, SIZE) and sample.get("fake_digit").min() >= 0
        assert torch.equal(sample.get("img_digit"), item["img_digit"])


#: One step of a rank with a batch of its own, as a process.
STEP = """
import sys
sys.path[:0] = {paths!r}
import torch
from torch import distributed
from mmengine import MessageHub
from mmengine.registry import DefaultScope
from nda_mm.compat import apply_patches
apply_patches("mmagic")
import test_pix2pix as tests
rank, out = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{{out}}/group", rank=rank, world_size=2)
DefaultScope.get_instance("step", scope_name="mmagic")
MessageHub.get_instance("step").update_info("iter", 0)
model = tests.build(negative=tests.MirroredNegative())
model.train_step(tests.batch(rank), tests.optimizers(model))
torch.save(model.state_dict(), f"{{out}}/{{rank}}.pt")
distributed.barrier()
"""


@pytest.mark.slow
def test_two_processes_train_one_model_by_the_mean_of_their_gradients(tmp_path: Path) -> None:
    here = Path(__file__).resolve().parent
    code = STEP.format(paths=[str(here), str(here.parent), str(here.parents[2])])
    command = [sys.executable, "-W", "ignore", "-c", code]
    started = [subprocess.Popen([*command, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [process.wait() for process in started] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    alone = []
    for rank in range(2):
        model = build(negative=MirroredNegative())
        model.train_step(batch(rank), optimizers(model))
        alone.append(model.discriminators.state_dict(prefix="discriminators."))
    for name, value in first.items():
        if "running" in name or "num_batches" in name:
            continue
        assert torch.equal(value, second[name]), name
        if name in alone[0]:  # the generator's step sees a discriminator that has been updated already
            torch.testing.assert_close(value, (alone[0][name] + alone[1][name]) / 2)
            assert not torch.equal(alone[0][name], alone[1][name])
