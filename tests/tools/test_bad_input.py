"""Bad input through the commands, as a user gives it: each ends with one message that names what is wrong."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nda_mm.utils.files import recipe_path

pytest.importorskip("mmagic")
pytest.importorskip("sklearn")

ROOT = Path(__file__).resolve().parents[2]
GAN, OOD = str(recipe_path("nda_biggan_digits.py")), str(recipe_path("ood_nda_biggan_digits.py"))
FOLDER = ["train_dataloader.dataset.type=nda_mm.ImageFolder", "train_dataloader.dataset.data_root=images"]
#: One step, without the metrics of the recipe, which train a classifier first.
SHORT = [
    "train_cfg.max_iters=1",
    "default_hooks.checkpoint.save_best=None",
    "default_hooks.checkpoint.rule=None",
    "val_dataloader=None",
    "val_cfg=None",
    "val_evaluator=None",
]
Run = Callable[..., None]
Refuse = Callable[..., str]


pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command of tools/ with its words, as ``python tools/NAME.py WORDS`` runs it, in this process."""

    def call(name: str, *words: str) -> None:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
        runpy.run_path(str(ROOT / "tools" / f"{name}.py"), run_name="__main__")

    return call


@pytest.fixture
def refuse(run: Run, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Run a command that must end with status 1; its message on stderr."""

    def call(name: str, *words: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            run(name, *words)
        assert stopped.value.code == 1
        printed = capsys.readouterr().err
        assert "Traceback" not in printed and "error: " in printed
        return printed.split("error: ", 1)[1]

    return call


@pytest.mark.parametrize(
    ("name", "words", "named"),
    [
        ("train", ["configs/nda_biggan_digitz.py"], "nda_biggan_digits"),
        ("train", [GAN, "--cfg-options", "model.type=NDABigGAN"], "nda_mm.NDABigGAN"),
        ("train", [GAN, "--cfg-options", "model.negative.grid=5"], "5 x 5 does not divide height 16"),
        ("compare", ["biggan_digits", "nda_biggan_digits", "--seeds", "1", "1", "--out", "out"], "[1, 1]"),
        ("screen", ["biggan_digits", "--out", "out"], "--transforms"),
        ("transfer", ["--pretrain", "moco_digits", "--downstream", "moco_digits", "--out", "out"], "moco_digits"),
        ("compare_ood", ["absent"], "absent/seed_N"),
        ("browse_negatives", ["--images", "nowhere"], "'nowhere'"),
        ("audit_negatives", ["--images", "nowhere"], "'nowhere'"),
        ("convert_backbone", ["absent.pth", "out.pth", "--to", "mmdet"], "absent.pth"),
        ("import_official", ["nda_biggan_cifar10", "out.pth", "--ema", "absent.pth"], "absent.pth"),
        ("sample", [GAN, "absent.pth"], "absent.pth"),
        ("test", [OOD, "absent.pth"], "absent.pth"),
    ],
)
def test_every_command_refuses_in_one_line(refuse: Refuse, name: str, words: list[str], named: str) -> None:
    assert named in refuse(name, *words)


def test_images_without_classes_for_a_conditional_gan(refuse: Refuse, save_images: Callable[..., Path]) -> None:
    save_images("images", 40)
    said = refuse("train", GAN, "--cfg-options", *SHORT, *FOLDER)
    assert "10 classes" in said and "num_classes=1" in said


def test_a_missing_or_damaged_training_folder(run: Run, refuse: Refuse, save_images: Callable[..., Path]) -> None:
    assert "'images' does not exist" in refuse("train", GAN, "--cfg-options", *SHORT, *FOLDER)
    images = save_images("images", 40)
    whole = (images / "0.png").read_bytes()
    bad = {"cut.png": whole[: len(whole) // 2], "empty.jpg": b"", "text.png": b"no image"}
    for name, content in bad.items():
        (images / name).write_bytes(content)
    unconditional = [f"model.{part}num_classes=1" for part in ("", "generator.", "discriminator.")]
    run("train", GAN, "--work-dir", "run", "--cfg-options", *SHORT, *FOLDER, *unconditional)
    assert Path("run/iter_1.pth").is_file()
    for path in images.glob("[1-3]*.png"):
        path.unlink()
    said = refuse("train", GAN, "--cfg-options", *SHORT, *FOLDER)
    assert "max_bad=0.1" in said and all(name in said for name in bad)
