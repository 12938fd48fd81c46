"""Bad input through the commands, as a user gives it: each ends with one message that says what and what to do."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import mmengine.runner.runner
import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

from nda_mm.utils.files import recipe_path
from tools import train

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


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mmengine.runner.runner, "collect_env", dict)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command of tools/ with its words, as ``python tools/NAME.py WORDS`` runs it, in this process."""

    def call(name: str, *words: str) -> None:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
        runpy.run_path(str(ROOT / "tools" / f"{name}.py"), run_name="__main__")

    return call


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of one step."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmengine.runner.runner, "collect_env", dict)
        train.main([GAN, "--work-dir", str(folder), "--cfg-options", *SHORT])
    return str(folder / "iter_1.pth")


@pytest.fixture
def refuse(run: Run, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Run a command that must end with status 1; what it says on stderr, which is the message alone."""

    def call(name: str, *words: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            run(name, *words)
        assert stopped.value.code == 1
        printed = capsys.readouterr().err
        assert "Traceback" not in printed
        found = re.search(r"\nerror: (.*)\n\(\S+\.py:\d+; NDA_MM_TRACEBACK=1 prints", printed, re.DOTALL)
        assert found, printed
        return found[1]

    return call


def save_images(folder: Path, count: int, side: int = 20) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def damage(folder: Path) -> list[str]:
    """Put three bad files into a folder of images; their names."""
    whole = (folder / "0.png").read_bytes()
    bad = {"cut.png": whole[: len(whole) // 2], "empty.jpg": b"", "text.png": b"no image"}
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    return list(bad)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """The warnings of mmengine's loggers, which hand nothing on to the root, where pytest listens."""
    handle = MMLogger.callHandlers

    def both(self: MMLogger, record: object) -> None:
        caplog.handler.handle(record)  # type: ignore[arg-type]
        handle(self, record)  # type: ignore[arg-type]

    monkeypatch.setattr(MMLogger, "callHandlers", both)
    return caplog


def test_an_unknown_gan(refuse: Refuse) -> None:
    said = refuse("train", GAN, "--cfg-options", "model.type=nda_mm.NDAFunnyGAN")
    assert said.startswith("There is no model 'nda_mm.NDAFunnyGAN'. The GANs with negatives are ")
    assert "nda_mm.NDABigGAN" in said and "nda_mm.NDAStyleGAN3" in said
    assert "FunnyGAN is not in the mmagic::model registry" in refuse(
        "train", GAN, "--cfg-options", "model.type=FunnyGAN"
    )


def test_an_unknown_negative(refuse: Refuse) -> None:
    said = refuse("train", GAN, "--cfg-options", "model.negative.type=Jigsav")
    assert said.startswith("no negative is registered as 'Jigsav'; there are: ") and "Jigsaw" in said


def test_a_grid_that_the_resolution_does_not_divide(refuse: Refuse) -> None:
    said = refuse("train", GAN, "--cfg-options", "model.negative.grid=5")
    assert said.startswith("a grid of 5 x 5 tiles does not divide images of 16 x 16")
    assert "can be cut into [1, 2, 4, 8, 16] parts; choose the grid from these, or crop or resize the images" in said


@pytest.mark.parametrize("weight", ["0", "-0.25", "1.5", "nan"])
def test_a_weight_out_of_range(refuse: Refuse, weight: str) -> None:
    said = refuse("train", GAN, "--cfg-options", f"model.fake_weight={weight}")
    assert said.startswith(f"fake_weight must lie in (0, 1], but got {weight}")


@pytest.mark.parametrize(
    "setting",
    [
        "model.discriminator_steps=0",
        "train_cfg.val_interval=-1",
        "train_cfg.data_on_device=no",
        "default_hooks.checkpoint.interval=0",
    ],
)
def test_a_mistyped_setting(refuse: Refuse, setting: str) -> None:
    name = setting.split("=")[0]
    assert refuse("train", GAN, "--dry-run", "--cfg-options", setting).startswith(f"{name} must ")


def test_images_without_classes_for_a_conditional_gan(refuse: Refuse, place: Path) -> None:
    save_images(place / "images", 40)
    said = refuse("train", GAN, "--cfg-options", *SHORT, *FOLDER)
    assert said.startswith("A GAN of 10 classes needs the class of every real image, but the data carry no 'gt_label'")
    assert "class subfolders" in said and "num_classes=1" in said


def test_a_missing_or_empty_training_folder(refuse: Refuse, place: Path) -> None:
    options = ["--cfg-options", *SHORT, *FOLDER]
    assert "the image folder 'images' does not exist (data_root='images')" in refuse("train", GAN, *options)
    (place / "images").mkdir()
    assert "'images' holds no images (png, jpg," in refuse("train", GAN, *options)


class TestADamagedTrainingFolder:
    def test_every_bad_file_is_named_once_and_training_goes_on(
        self, run: Run, place: Path, logged: pytest.LogCaptureFixture
    ) -> None:
        bad = damage(save_images(place / "images", 40))
        unconditional = [f"model.{part}num_classes=1" for part in ("", "generator.", "discriminator.")]
        run("train", GAN, "--work-dir", "run", "--cfg-options", *SHORT, *FOLDER, *unconditional)
        assert (place / "run" / "iter_1.pth").is_file()
        said = logged.text
        assert "3 of 43 image files in 'images' cannot be read and are left out" in said
        assert [said.count(f"\n  {name}: ") for name in bad] == [1, 1, 1]

    def test_one_that_is_mostly_damaged_is_refused_with_all_of_them(self, refuse: Refuse, place: Path) -> None:
        bad = damage(save_images(place / "images", 10))
        said = refuse("train", GAN, "--cfg-options", *SHORT, *FOLDER)
        assert said.startswith("3 of 13 image files in 'images' cannot be read, more than max_bad=0.1 allows:")
        assert [said.count(f"\n  {name}: ") for name in bad] == [1, 1, 1]
        assert said.endswith("Remove or replace them, or put up with more of them by max_bad.")


class TestOutsideSets:
    """Of tools/test.py."""

    def config(self, place: Path, **outside: str) -> str:
        """The recipe with other outside sets, each given as the text of its config."""
        sets = ", ".join(f"{name}=dict({text})" for name, text in outside.items())
        (place / "ood.py").write_text(
            f"_base_ = {OOD!r}\npacked = dict(pipeline=[dict(type='PackInputs')])\n"
            f"test_evaluator = dict(metrics=[dict(type='nda_mm.OODMetric', plots=False, outside=dict({sets}))])\n"
        )
        return "ood.py"

    def test_empty_missing_and_unreadable_ones_are_refused_all_at_once(
        self, refuse: Refuse, place: Path, checkpoint: str
    ) -> None:
        (place / "nothing").mkdir()
        (place / "broken").mkdir()
        for name in ("a.png", "b.jpg"):
            (place / "broken" / name).write_bytes(b"no image")
        save_images(place / "whole", 3)
        folder = "type='nda_mm.ImageFolder', **packed, "
        fog = "type='nda_mm.CIFAR10C', corruption='fog', **packed"
        config = self.config(
            place,
            empty=f"{folder} data_root='nothing', size=16",
            unreadable=f"{folder} data_root='broken', size=16",
            missing="type='nda_mm.DTD', data_root='dtd', size=16, **packed",
            large=f"{folder} data_root='whole', size=32",
            whole=f"{folder} data_root='whole', size=16",
            corrupted=", ".join(f"fog_{severity}=dict({fog}, severity={severity})" for severity in (1, 2, 3, 4, 5)),
        )
        said = refuse("test", config, checkpoint)
        assert said.startswith("9 of 10 outside sets cannot be used. Mend them, or name the sets you have with only=")
        assert "test_evaluator.metrics.0.only=['whole']" in said
        for line in (
            "empty: 'nothing' holds no images (png, jpg,",
            "unreadable: 2 of 2 image files in 'broken' cannot be read",
            "a.png: UnidentifiedImageError",
            "b.jpg: UnidentifiedImageError",
            "missing: DTD cannot be read from 'dtd': there is no folder 'dtd/images'",
            "they can be had at https://www.robots.ox.ac.uk/~vgg/data/dtd/",
            "large: its images reach the network as (3, 32, 32), those of the data as (3, 16, 16); set size=",
            "corrupted/fog_1, corrupted/fog_2, corrupted/fog_3 and 2 more: CIFAR-10-C cannot be read from "
            "'data/CIFAR-10-C/labels.npy': there is no such file",
        ):
            assert said.count(line) == 1, line

    def test_bad_files_of_one_are_named_once_and_the_rest_scored(
        self,
        run: Run,
        place: Path,
        checkpoint: str,
        logged: pytest.LogCaptureFixture,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        textures = save_images(place / "dtd" / "images" / "banded", 6)
        bad = damage(textures)
        run("test", self.config(place, dtd="type='nda_mm.DTD', data_root='dtd', size=16, **packed"), checkpoint)
        assert "ood/dtd/auroc: " in capsys.readouterr().out
        said = logged.text
        assert "3 of 9 image files in 'dtd/images' cannot be read and are left out" in said
        assert [said.count(f"\n  banded/{name}: ") for name in bad] == [1, 1, 1]
        assert re.search(r"\ndtd +6 ", said)

    def test_a_checkpoint_that_is_none(self, refuse: Refuse, place: Path) -> None:
        (place / "broken.pth").write_bytes(b"no checkpoint")
        assert "broken.pth" in refuse("test", OOD, "broken.pth")
        assert "absent.pth" in refuse("test", OOD, "absent.pth")


def test_a_config_that_there_is_not(refuse: Refuse) -> None:
    said = refuse("train", "configs/nda_biggan_digitz.py")
    assert "'configs/nda_biggan_digitz.py'" in said and "nda_biggan_digits" in said
