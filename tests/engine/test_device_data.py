"""Batches from the device's memory: those of the loader, without its work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler, pseudo_collate
from mmengine.structures import BaseDataElement, LabelData
from torch.utils.data import BatchSampler, DataLoader, Dataset

from nda_mm.engine import device_data
from nda_mm.engine.data_stream import BatchStream, build_exact_dataloader
from nda_mm.engine.device_data import DeviceLoader, StackedItems


class Images(Dataset):
    """Seven small images with labels and names; flipped at random, if it is told to."""

    metainfo: dict[str, Any] = {}

    def __init__(self, flip_last: bool = False) -> None:
        self.flip_last = flip_last
        self.reads = 0

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.reads += 1
        pixels = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2) + index
        if self.flip_last and index == 6 and torch.rand(()) < 0.5:
            pixels = pixels.flip(-1)
        sample = BaseDataElement(metainfo=dict(order="RGB", name=f"image {index}"))
        sample.set_data(dict(image=pixels, label=LabelData(label=torch.tensor([index % 3]))))
        return dict(inputs={}, data_samples=sample)


def loader(dataset: Dataset, sampler: Any) -> DataLoader:
    inner = DataLoader(dataset, batch_sampler=BatchSampler(sampler, 3, False), collate_fn=pseudo_collate)
    return build_exact_dataloader(None, inner, seed=1, rank=0)


def on_device(dataset: Dataset, sampler: Any) -> DeviceLoader:
    return DeviceLoader(loader(dataset, sampler), lambda: torch.device("cpu"))


@pytest.mark.parametrize(("endless", "start"), [(False, (0, 2)), (True, (2, 1))])
def test_batches_are_those_of_the_loader_stacked(endless: bool, start: tuple[int, int]) -> None:
    kind = InfiniteSampler if endless else DefaultSampler
    plain, stacked = (
        BatchStream(make(Images(), kind(Images(), shuffle=True, seed=4)), *start) for make in (loader, on_device)
    )
    for _ in range(8):
        theirs, ours = next(plain)["data_samples"], next(stacked)
        assert ours["inputs"] == {}
        sample = ours["data_samples"]
        assert torch.equal(sample.image, torch.stack([each.image for each in theirs]))
        assert torch.equal(sample.label.label, torch.stack([each.label.label for each in theirs]))
        assert sample.metainfo == dict(order=["RGB"] * len(theirs), name=[each.name for each in theirs])
        assert (plain.pass_number, plain.batch) == (stacked.pass_number, stacked.batch)


def test_a_batch_can_be_changed_without_changing_the_data() -> None:
    images = Images()
    stream = BatchStream(on_device(images, DefaultSampler(images, shuffle=False)))
    next(stream)["data_samples"].image.zero_()
    for _ in range(2):
        next(stream)
    assert torch.equal(next(stream)["data_samples"].image[1], images[1]["data_samples"].image)


def test_a_random_pipeline_is_refused() -> None:
    """Seeds are those of the item, so the same half of all items is found random every time; item 6 is of it."""
    images = Images(flip_last=True)
    with pytest.raises(ValueError, match="data_on_device: item 6"):
        next(BatchStream(on_device(images, DefaultSampler(images, shuffle=False))))


def test_a_data_set_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_of_all = 7 * (12 + 8)
    images = Images()
    loading = DeviceLoader(loader(images, DefaultSampler(images, shuffle=False)), lambda: torch.device("cuda"))
    monkeypatch.setattr(device_data, "StackedItems", lambda items, device: items)
    for free, refused in ((2 * bytes_of_all, False), (2 * bytes_of_all - 1, True)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        with pytest.raises(ValueError, match="data_on_device") if refused else nullcontext():
            assert len(loading._read()) == 7


def test_items_that_differ_are_refused() -> None:
    for one, other, message in (
        (dict(a=torch.zeros(2)), dict(a=torch.zeros(3)), "shape"),
        (dict(a=torch.zeros(2)), dict(a=torch.zeros(2, dtype=torch.uint8)), "type"),
        (dict(a=1), dict(b=1), "keys"),
    ):
        with pytest.raises(ValueError, match=message):
            StackedItems([one, other], "cpu")


@pytest.mark.slow
def test_a_gan_trains_to_the_same_weights_when_it_is_resumed_too(tmp_path: Path) -> None:
    pytest.importorskip("mmagic", reason="the recipe needs mmagic")
    pytest.importorskip("sklearn", reason="the recipe's digits come with scikit-learn")
    import tiny_gan

    fast = {"train_cfg.data_on_device": True, "model.data_preprocessor.type": "nda_mm.BatchDataPreprocessor"}
    slow = {"train_cfg.data_on_device": False, "model.data_preprocessor.type": "DataPreprocessor"}
    tiny_gan.train(tmp_path / "loader", **slow)
    tiny_gan.train(tmp_path / "device", **fast, stop_at=2)
    tiny_gan.train(tmp_path / "device", resume=True, **fast)
    tiny_gan.assert_same_ends(tmp_path / "device", tmp_path / "loader")


def test_a_preprocessor_that_takes_no_stacked_samples_is_refused(config: Callable[..., dict[str, Any]]) -> None:
    cfg = config()
    cfg["train_cfg"]["data_on_device"] = True
    with pytest.raises(ValueError, match="BatchDataPreprocessor"):
        tiny_run.train(cfg)
