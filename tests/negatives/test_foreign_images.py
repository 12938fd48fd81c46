"""Foreign images from files, folders and data sets, without running code."""

import os

import numpy as np
import pytest
import torch

from nda_mm.negatives import build_negative, foreign_images
from nda_mm.negatives.foreign_images import load_images
from nda_mm.registry import DATASETS


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_foreign_images_are_read_from_files(tmp_path):
    images = (torch.rand(5, 3, 4, 6, generator=seeded()) * 255).to(torch.uint8)
    torch.save(images, tmp_path / "images.pt")
    np.save(tmp_path / "planes.npy", images.numpy())
    np.save(tmp_path / "pixels.npy", images.permute(0, 2, 3, 1).numpy())
    for name in ("images.pt", "planes.npy", "pixels.npy"):
        assert torch.equal(load_images(tmp_path / name), images)
    assert torch.equal(load_images(str(tmp_path / "images.pt"), limit=2), images[:2])
    assert load_images(tmp_path / "images.pt", size=(2, 3)).shape == (5, 3, 2, 3)
    assert (
        build_negative(dict(type="ForeignStitch", images=str(tmp_path / "images.pt"), max_images=3)).foreign.shape[0]
        == 3
    )


def test_foreign_images_are_read_from_a_folder(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    images = (torch.rand(3, 3, 4, 6, generator=seeded()) * 255).to(torch.uint8)
    (tmp_path / "sub").mkdir()
    for name, image in zip(["a.png", "b.png", "sub/c.png"], images):
        image_module.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    assert torch.equal(load_images(tmp_path), images)
    image_module.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "d.png")
    with pytest.raises(ValueError, match="differ in shape"):
        load_images(tmp_path)
    assert load_images(tmp_path, size=(4, 6)).shape == (4, 3, 4, 6)
    assert torch.equal(load_images(tmp_path, limit=2), images[:2])


def test_foreign_images_are_read_from_a_data_set():
    config = dict(type="nda_mm.Digits", image_key="gt", split="train")
    images = load_images(config, limit=3)
    assert images.dtype == torch.uint8
    first = DATASETS.build(config)[0]["gt"]
    assert np.array_equal(images[0].permute(1, 2, 0).numpy(), first)


def test_bgr_samples_are_turned_into_rgb(monkeypatch):
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    samples = [dict(img=pixels, img_channel_order="BGR"), dict(img=pixels[..., ::-1], img_channel_order="RGB")]
    monkeypatch.setattr(foreign_images.DATASETS, "build", lambda config: samples)
    images = load_images(dict(type="Any"))
    assert torch.equal(images[0], images[1])
    assert images[0, 0, 0, 0] == 2
    monkeypatch.setattr(foreign_images.DATASETS, "build", lambda config: [dict(inputs=torch.zeros(3, 2, 2))])
    with pytest.raises(TypeError, match=r"under 'gt' or 'img', but 'Any' gives the keys \['inputs'\]"):
        load_images(dict(type="Any"))


def test_sources_that_are_none_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="do not exist"):
        load_images(tmp_path / "none.pt")
    with pytest.raises(FileNotFoundError, match="holds no image"):
        load_images(tmp_path)
    os.mkfifo(tmp_path / "x.png")  # which would be waited for
    with pytest.raises(OSError, match=r"x\.png"):
        load_images(tmp_path)
    (tmp_path / "images.zip").write_bytes(b"")
    with pytest.raises(TypeError, match=r"\.pt or \.npy file or a folder"):
        load_images(tmp_path / "images.zip")
    with pytest.raises(ValueError, match="limit must be"):
        load_images(tmp_path, limit=0)


def test_loading_runs_no_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return print, ("code was run",)

    torch.save(Trap(), tmp_path / "trap.pt")
    with pytest.raises(ValueError, match=r"trap\.pt can't be loaded without running code"):
        load_images(tmp_path / "trap.pt")
    np.save(tmp_path / "trap.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_images(tmp_path / "trap.npy")
