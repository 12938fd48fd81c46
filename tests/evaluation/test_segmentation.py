"""Scores of class maps against scikit-learn; segmenters: saved, of mmengine, by colors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from sklearn.metrics import accuracy_score, jaccard_score, recall_score
from torch import Tensor, nn

from nda_mm.evaluation.segmentation import (
    NetworkSegmenter,
    build_segmenter,
    confusion_matrix,
    palette,
    read_colors,
    segmentation_scores,
)


def by_scikit_learn(truth: Tensor, predicted: Tensor) -> dict[str, float]:
    wanted, read = truth[truth != 255].numpy(), predicted[truth != 255].numpy()
    over_classes = dict(labels=np.unique(wanted), average="macro")
    return {
        "pixel_accuracy": accuracy_score(wanted, read),
        "class_accuracy": recall_score(wanted, read, **over_classes),
        "mean_iou": jaccard_score(wanted, read, **over_classes),
    }


def test_scores_are_scikit_learns() -> None:
    num_classes, draw = 7, torch.Generator().manual_seed(0)
    truth, predicted = torch.randint(0, num_classes, (2, 3, 5, 6), generator=draw)
    predicted = predicted.where(torch.rand(predicted.shape, generator=draw) < 0.5, truth)
    # Pixels that don't count, pixels where nothing was read, a class that never occurs.
    truth[torch.rand(truth.shape, generator=draw) < 0.2] = 255
    predicted[torch.rand(truth.shape, generator=draw) < 0.2] = 255
    truth[truth == 2] = 0
    matrix = confusion_matrix(truth, predicted, num_classes)
    assert int(matrix.sum()) == int((truth != 255).sum())
    assert segmentation_scores(matrix) == pytest.approx(by_scikit_learn(truth, predicted), abs=1e-12)
    with pytest.raises(ValueError, match="predicted"):
        confusion_matrix(truth, predicted + num_classes, num_classes)


def test_the_nearest_color_is_that_of_all() -> None:
    draw = torch.Generator().manual_seed(0)
    colors, classes = torch.randint(0, 256, (6, 3), generator=draw), torch.tensor([3, 1, 255, 0, 3, 2])
    images = torch.randint(0, 256, (2, 3, 4, 5), generator=draw, dtype=torch.uint8)
    distances = (images.permute(0, 2, 3, 1)[..., None, :].long() - colors).square().sum(dim=-1)
    assert torch.equal(read_colors(images, colors, classes), classes[distances.argmin(dim=-1)])


def test_the_palette_is_that_of_cityscapes() -> None:
    colors, classes = palette("cityscapes")
    assert sorted(set(classes.tolist())) == [*range(19), 255]
    assert len(colors.unique(dim=0)) == len(colors) == 29  # no two alike
    for color, name in ((128, 64, 128), 0), ((0, 0, 142), 13), ((0, 0, 0), 255):  # road, car, and what is not labeled
        assert classes[(colors == torch.tensor(color)).all(dim=1)].tolist() == [name]


class Channels(nn.Module):
    """A class for each color channel, at half the resolution, as segmenters give it."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)


class TinySegmenter(BaseModel):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, num_classes, 1)

    def forward(self, inputs: Tensor, data_samples: None = None, mode: str = "loss") -> Tensor:
        assert mode == "tensor"
        return self.head(inputs)


@pytest.fixture
def images() -> Tensor:
    """Blocks of one strong color each."""
    channel = torch.randint(0, 3, (2, 4, 4), generator=torch.Generator().manual_seed(1))
    blocks = F.one_hot(channel, 3).permute(0, 3, 1, 2) * 200 + 20
    return F.interpolate(blocks.float(), scale_factor=2).byte()


def test_a_saved_network(tmp_path: Path, images: Tensor) -> None:
    torch.jit.script(Channels()).save(str(tmp_path / "net.pt"))
    settings = dict(type="torchscript", checkpoint=tmp_path / "net.pt", mean=(0, 0, 0), std=(1, 1, 1))
    segmenter = build_segmenter(settings)
    logits = F.interpolate(F.avg_pool2d(images.float(), 2), (8, 8), mode="bilinear", align_corners=False)
    assert torch.equal(segmenter(images), logits.argmax(1))
    flipped = build_segmenter({**settings, "bgr": True})(images)
    assert torch.equal(flipped, logits.flip(1).argmax(1)) and not torch.equal(flipped, logits.argmax(1))
    assert build_segmenter(segmenter) is segmenter


def test_normalisation_and_size_reach_the_network(images: Tensor) -> None:
    seen: list[Tensor] = []

    class Recording(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            seen.append(x)
            return {"out": x, "aux": x[:, :1]}

    segmenter = NetworkSegmenter(Recording(), size=(4, 6), mean=(10, 20, 30), std=(2, 4, 8))
    assert segmenter(images).shape == (2, 8, 8)
    resized = F.interpolate(images.float(), (4, 6), mode="bilinear", align_corners=False, antialias=True)
    for channel, (mean, std) in enumerate([(10, 2), (20, 4), (30, 8)]):
        torch.testing.assert_close(seen[0][:, channel], (resized[:, channel] - mean) / std)
    assert not segmenter.train().training


def test_a_model_of_mmengine(tmp_path: Path, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS.module_dict, "TinySegmenter", TinySegmenter)
    (tmp_path / "net.py").write_text("model = dict(type='TinySegmenter', num_classes=4)\n")
    model = TinySegmenter(4)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, tmp_path / "net.pth")
    settings = dict(type="mmengine", config=tmp_path / "net.py", checkpoint=tmp_path / "net.pth")
    segmenter = build_segmenter(settings)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    with torch.no_grad():
        expected = model.head((images.float() - mean) / std).argmax(1)
    assert torch.equal(segmenter(images), expected) and len(expected.unique()) > 1
    torch.save(TinySegmenter(5).state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"(?s)other\.pth.*head\.weight"):
        build_segmenter({**settings, "checkpoint": tmp_path / "other.pth"})


def test_bad_segmenters_are_refused(tmp_path: Path, images: Tensor) -> None:
    torch.save(Channels().state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights\.pth"):
        build_segmenter(dict(type="torchscript", checkpoint=tmp_path / "weights.pth"))
    with pytest.raises(ValueError, match="logits"):
        NetworkSegmenter(nn.Flatten())(images)
