"""tools/sample.py on a real checkpoint of the shipped recipe."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from PIL import Image

from nda_mm.utils.files import recipe_path

pytest.importorskip("mmagic")

from tools import sample as tool
from tools import test

RECIPE = recipe_path("nda_biggan_digits.py")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, untrained):
    return Path(untrained("nda_biggan_digits", tmp_path_factory.mktemp("model") / "untrained.pth"))


def sample(checkpoint, out, *words):
    tool.main([str(RECIPE), str(checkpoint), "--out", str(out), *words])
    return {str(path.relative_to(out)): np.asarray(Image.open(path)) for path in sorted(out.rglob("*.png"))}


def test_files_and_sheet(checkpoint, tmp_path, capsys):
    words = ("--per-class", "2", "--classes", "7", "3", "--scale", "1", "--seed")
    images, same, other, batch = (
        sample(checkpoint, tmp_path / str(number), *words, *more)
        for number, more in enumerate((["1"], ["1"], ["2"], ["1", "--batch-statistics"]))
    )
    assert "4 images" in capsys.readouterr().out
    sheet = images.pop("sheet.png")
    assert set(images) == {f"class_{label:03d}/0000{number}.png" for label in (3, 7) for number in (0, 1)}
    assert all(image.shape == (16, 16, 3) for image in images.values())
    # padding 2: the second row of the sheet is the second class
    assert np.array_equal(sheet[20:36, 2:18], images["class_003/00000.png"])
    assert [np.array_equal(sheet, each["sheet.png"]) for each in (same, other, batch)] == [True, False, False]


def test_a_number_of_images_of_the_newest_checkpoint_of_a_run(checkpoint, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    content = torch.load(checkpoint, weights_only=True)
    torch.save({**content, "optimizer": {}, "message_hub": {}, "meta": {"iter": 1, "epoch": 0}}, run / "iter_1.pth")
    Config.fromfile(RECIPE).dump(run / "nda_biggan_digits.py")
    tool.main([str(run), "--num", "12", "--out", str(tmp_path / "out")])
    written = [path.parent.name for path in (tmp_path / "out").glob("class_*/*.png")]
    assert sorted(written) == sorted([f"class_{index:03d}" for index in range(10)] + ["class_000", "class_001"])


def test_a_damaged_or_incomplete_checkpoint_is_refused(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    weights = content["state_dict"]
    altered = bytearray(checkpoint.read_bytes())
    altered[altered.index(weights["generator_ema.module.noise2feat.weight"].numpy().tobytes()) + 5] ^= 4
    (tmp_path / "flipped.pth").write_bytes(altered)
    torch.save(
        {name: value for name, value in weights.items() if not name.startswith("generator_ema")}, tmp_path / "part.pth"
    )
    for name, named in (("flipped.pth", "flipped.pth"), ("part.pth", "generator_ema.")):
        with pytest.raises(ValueError, match=named):
            sample(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_tools_test_reports_the_metrics_of_mmagics_loop(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # the classifier that the metrics use is trained into a cache there
    options = [f"test_evaluator.metrics.{number}.fake_nums=40" for number in (0, 1)]
    metrics = test.main([str(RECIPE), str(checkpoint), "--cfg-options", *options])
    assert 0 <= metrics["classifier_digits/conditional_accuracy"] < 0.5  # untrained
    assert metrics["classifier_digits/frechet"] > 10
    assert f"classifier_digits/frechet: {metrics['classifier_digits/frechet']}" in capsys.readouterr().out
