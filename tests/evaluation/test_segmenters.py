"""What reads classes in images: saved networks, models of mmengine, colours."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn

from nda_mm.evaluation.segmenters import ColourSegmenter, NetworkSegmenter, build_segmenter, palette


class Channels(nn.Module):
    """A class for each colour channel, at half the resolution, as segmenters give it."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)


@pytest.fixture
def registered():
    @MODELS.register_module(name="TinySegmenter")
    class TinySegmenter(BaseModel):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.head = nn.Conv2d(3, num_classes, 1)

        def forward(self, inputs: Tensor, data_samples: None = None, mode: str = "loss") -> Tensor:
            assert mode == "tensor"
            return self.head(inputs)

    yield TinySegmenter
    MODELS.module_dict.pop("TinySegmenter")


@pytest.fixture
def images() -> Tensor:
    """Blocks of one strong colour each."""
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


def test_a_model_of_mmengine(tmp_path: Path, images: Tensor, registered: type) -> None:
    (tmp_path / "net.py").write_text("model = dict(type='TinySegmenter', num_classes=4)\n")
    model = registered(4)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, tmp_path / "net.pth")
    settings = dict(type="mmengine", config=tmp_path / "net.py", checkpoint=tmp_path / "net.pth")
    segmenter = build_segmenter(settings)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    with torch.no_grad():
        expected = model.head((images.float() - mean) / std).argmax(1)
    assert torch.equal(segmenter(images), expected) and len(expected.unique()) > 1
    torch.save(registered(5).state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"(?s)other\.pth does not fit the model of .*net\.py.*head\.weight"):
        build_segmenter({**settings, "checkpoint": tmp_path / "other.pth"})


def test_colours() -> None:
    segmenter = build_segmenter(dict(type="colours", colours=[((0, 0, 0), 255), ((255, 0, 0), 1)]))
    assert isinstance(segmenter, ColourSegmenter)
    pixels = torch.tensor([[[200, 100], [10, 0], [0, 0]]], dtype=torch.uint8).reshape(1, 3, 1, 2)
    assert segmenter(pixels).tolist() == [[[1, 255]]]
    assert palette("cityscapes")[0].shape == (29, 3)


def test_refusals(tmp_path: Path, images: Tensor) -> None:
    with pytest.raises(FileNotFoundError, match=r"no segmenter .*absent\.pt"):
        build_segmenter(dict(type="torchscript", checkpoint=tmp_path / "absent.pt"))
    torch.save(Channels().state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights\.pth is no network that torch\.jit\.save wrote.*type='mmengine'"):
        build_segmenter(dict(type="torchscript", checkpoint=tmp_path / "weights.pth"))
    with pytest.raises(TypeError, match="a segmenter is a dict with a 'type'.*but got 'fcn'"):
        build_segmenter("fcn")
    with pytest.raises(ValueError, match="a palette is 'cityscapes' or rows.*'voc'"):
        palette("voc")
    with pytest.raises(ValueError, match=r"size must be a height and a width.*\(512,\)"):
        NetworkSegmenter(Channels(), size=(512,))
    with pytest.raises(ValueError, match=r"logits \(N, classes, H, W\) for 2 images, but gave \(2, 192\)"):
        NetworkSegmenter(nn.Flatten())(images)
