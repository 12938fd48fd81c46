"""mmagic's own recipes, given negatives by ``--cfg-options`` alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from nda_mm.compat import allow_safe_globals
from tools import train

SAGAN = pytest.importorskip("mmagic.models.editors").SAGAN
allow_safe_globals()  # the tests look into checkpoints themselves

SNGAN = "mmagic::sngan_proj/sngan-proj_woReLUinplace_lr2e-4-ndisc5-1xb64_cifar10-32x32.py"
STYLEGAN2 = "mmagic::styleganv2/stylegan2_c2_8xb4-800kiters_ffhq-256x256.py"
STYLEGAN3_ADA = "mmagic::styleganv3/stylegan3-t_ada-gamma6.6_8xb4-fp16_metfaces-1024x1024.py"
#: What makes the networks small; the recipes stay what they are.
SMALL = {
    SNGAN: ["model.generator.base_channels=4", "model.discriminator.base_channels=4", "model.discriminator_steps=2"],
    STYLEGAN2: [
        "model.generator.out_size=8",
        "model.generator.style_channels=8",
        "model.generator.num_mlps=1",
        "model.discriminator.in_size=8",
    ],
    STYLEGAN3_ADA: [
        "model.generator.out_size=16",
        "model.generator.noise_size=8",
        "model.generator.style_channels=8",
        "model.generator.synthesis_cfg.channel_base=128",
        "model.generator.synthesis_cfg.channel_max=8",
        "model.discriminator.in_size=16",
        "model.discriminator.channel_multiplier=1",
        "load_from=None",  # published weights, of the full size
    ],
}
SIZES = {SNGAN: 32, STYLEGAN2: 8, STYLEGAN3_ADA: 16}
Train = Callable[..., dict[str, torch.Tensor]]


@pytest.fixture
def train_stock(quick: None, tmp_path: Path, save_images: Callable[..., Path]) -> Train:
    """Train a stock recipe for two iterations on a folder of images and return what the checkpoint holds."""
    for kind in ("one", "other"):
        save_images(f"images/{kind}", 4, side=32)

    def run(recipe: str, *options: str, command: Sequence[str] = ()) -> dict[str, torch.Tensor]:
        (tmp_path / "stock.py").write_text(
            f"_base_ = {recipe!r}\n"
            f"images = dict(type='nda_mm.ImageFolder', data_root='images', size={SIZES[recipe]}, image_key='gt', "
            "pipeline=[dict(type='PackInputs')])\n"
            "train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False, "
            "dataset=dict(_delete_=True, **images))\n"
            "train_cfg = dict(max_iters=2)\n"
            "default_hooks = dict(checkpoint=dict(save_best=None, rule=None))\n"
            # The metrics of the recipes load Inception weights at the start.
            "val_dataloader = val_cfg = val_evaluator = test_dataloader = test_cfg = test_evaluator = None\n"
        )
        work_dir = f"run_{len(list(tmp_path.glob('run_*')))}"
        words = ["stock.py", "--work-dir", work_dir, "--seed", "1", *command]
        train.main([*words, "--cfg-options", *SMALL[recipe], *options])
        return torch.load(tmp_path / work_dir / "iter_2.pth", weights_only=True)["state_dict"]

    return run


@pytest.mark.slow
def test_two_options_give_a_stock_recipe_negatives(train_stock: Train) -> None:
    stock = train_stock(STYLEGAN2)
    trained = train_stock(STYLEGAN2, "model.type=nda_mm.NDAStyleGAN2", "model.negative.type=Jigsaw")
    assert set(trained) == set(stock)  # a stock model can load what is trained with negatives
    for part in ("generator.", "discriminator."):
        assert any(not torch.equal(trained[name], value) for name, value in stock.items() if name.startswith(part))


@pytest.mark.slow
def test_so_they_do_with_adaptive_augmentation(train_stock: Train) -> None:
    trained = train_stock(STYLEGAN3_ADA, "model.type=nda_mm.NDAStyleGAN3", "model.negative.type=Jigsaw")
    looked_at, signs = trained["discriminator.ada_aug.log_buffer"].tolist()
    assert looked_at == 8  # the real images of two steps, neither generated ones nor negatives
    assert abs(signs) <= 8
    assert all(bool(value.isfinite().all()) for value in trained.values())


@pytest.mark.slow
def test_without_negatives_whole_runs_are_mmagics_own_once_it_gets_its_labels_flat(
    train_stock: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mmagic's pipeline gives its discriminator labels (B, 1), which it broadcasts against all images of the batch."""
    ours = train_stock(SNGAN, "model.type=nda_mm.NDASNGAN", "model.discriminator_forward=separate")
    host = train_stock(SNGAN)
    assert any(not torch.equal(ours[name], value) for name, value in host.items())
    monkeypatch.setattr(SAGAN, "data_sample_to_label", lambda self, data_sample: data_sample.gt_label.label.flatten())
    patched = train_stock(SNGAN)
    assert ours.keys() == patched.keys()
    assert [name for name, value in patched.items() if not torch.equal(ours[name], value)] == []


def test_mixed_precision_that_stylegan2_would_ignore_is_refused(train_stock: Train) -> None:
    with pytest.raises(ValueError, match="NDAStyleGAN2"):
        train_stock(STYLEGAN2, "model.type=nda_mm.NDAStyleGAN2", command=["--amp"])
