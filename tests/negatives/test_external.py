"""Images of another data set, halves of them and whole."""

import os

import numpy as np
import pytest
import torch
from tiny_pixels import assert_equally_likely, seeded

from nda_mm.negatives import ExternalImage, ExternalStitch, build_negative
from nda_mm.negatives.external import load_images
from nda_mm.registry import DATASETS

GREY = torch.tensor([[0.0, 51.0], [102.0, 255.0]], dtype=torch.float64)  # 0, 1/5, 2/5, 1 of the range


@pytest.mark.parametrize(("dtype", "settings", "expected"), [
    (torch.uint8, {}, [0, 51, 102, 255]),
    (torch.float32, {}, [-1.0, -0.6, -0.2, 1.0]),
    (torch.float64, dict(value_range=(0, 1)), [0.0, 0.2, 0.4, 1.0]),
])  # fmt: skip
def test_external_images_take_the_range_of_the_batch(dtype, settings, expected):
    images = GREY.view(1, 1, 2, 2)
    for negative in (
        ExternalStitch(images.to(torch.uint8), **settings),
        ExternalStitch(images / 255, images_range=(0, 1), **settings),
    ):
        drawn = negative.draw(torch.zeros(3, 3, 2, 2, dtype=dtype))
        assert drawn.shape == (3, 3, 2, 2)
        assert drawn.dtype == dtype
        assert drawn[2, 1].flatten().tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("kind", "pixels"), [(ExternalStitch, 8), (ExternalImage, 16)])
def test_external_images_are_drawn_alike_often(kind, pixels):
    """One half of the pixels, or all, are those of one external image; the others stay."""
    external = torch.arange(10, 20, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 1, 4, 4)
    x = torch.zeros(400, 1, 4, 4, dtype=torch.uint8)
    out = kind(external)(x, generator=seeded())
    taken, color = out != 0, out.flatten(1).amax(dim=1)
    assert torch.equal(taken.flatten(1).sum(dim=1), torch.full((400,), pixels))
    assert torch.equal(out, taken * color.view(400, 1, 1, 1))
    assert_equally_likely(color.tolist(), range(10, 20))
    assert not kind(external).needs_partner


def test_external_images_are_resized_and_repeated_along_a_clip():
    negative = ExternalStitch(torch.full((2, 1, 9, 5), 255, dtype=torch.uint8))
    out = negative(torch.full((1, 3, 4, 6, 8), -1.0), generator=seeded())
    assert out.unique().tolist() == [-1.0, 1.0]
    assert all(torch.equal(out[:, :, 0], out[:, :, frame]) for frame in range(4))


def test_external_images_are_not_saved_and_those_that_do_not_fit_are_refused():
    whole = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    assert ExternalStitch(whole).state_dict() == {}
    with pytest.raises(ValueError, match="meta"):
        ExternalStitch(whole).to("meta")(torch.rand(1, 3, 4, 4))
    with pytest.raises(ValueError, match="images_range"):
        ExternalStitch(whole.float())
    with pytest.raises(ValueError, match="value_range"):
        ExternalStitch(whole, value_range=(1, 1))
    with pytest.raises(ValueError, match="channels"):
        ExternalStitch(whole)(torch.rand(2, 1, 4, 4))
    with pytest.raises(ValueError, match="channels"):
        ExternalStitch(whole.permute(0, 2, 3, 1))
    with pytest.raises(TypeError, match="torch.int64"):
        ExternalStitch(whole.long())


def test_a_data_set_that_breaks_the_rule_is_read_from_its_config():
    pytest.importorskip("sklearn")
    from nda_mm.datasets import Numerosity

    settings = dict(split="train", counts=[1, 3], size=20, num_images=12)
    negative = ExternalImage(dict(type="nda_mm.Numerosity", **settings))
    out = negative(torch.zeros(50, 3, 20, 20), generator=seeded())
    known = {(image.astype("float32") / 127.5 - 1).round(4).tobytes() for image in Numerosity(**settings).images}
    made = {image.permute(1, 2, 0).numpy().round(4).tobytes() for image in out}
    assert len(made) > 6 and made <= known


def test_external_images_are_read_from_files(tmp_path):
    images = (torch.rand(5, 3, 4, 6, generator=seeded()) * 255).to(torch.uint8)
    torch.save(images, tmp_path / "images.pt")
    np.save(tmp_path / "planes.npy", images.numpy())
    np.save(tmp_path / "pixels.npy", images.permute(0, 2, 3, 1).numpy())
    for name in ("images.pt", "planes.npy", "pixels.npy"):
        assert torch.equal(load_images(tmp_path / name), images)
    assert torch.equal(load_images(str(tmp_path / "images.pt"), limit=2), images[:2])
    assert load_images(tmp_path / "images.pt", size=(2, 3)).shape == (5, 3, 2, 3)
    negative = build_negative(dict(type="ExternalStitch", images=str(tmp_path / "images.pt"), max_images=3))
    assert negative.external.shape[0] == 3


def test_external_images_are_read_from_a_folder(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    images = (torch.rand(3, 3, 4, 6, generator=seeded()) * 255).to(torch.uint8)
    (tmp_path / "sub").mkdir()
    for name, image in zip(["a.png", "b.png", "sub/c.png"], images):
        image_module.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    assert torch.equal(load_images(tmp_path), images)
    image_module.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "d.png")
    with pytest.raises(ValueError, match="shape"):
        load_images(tmp_path)
    assert load_images(tmp_path, size=(4, 6)).shape == (4, 3, 4, 6)
    assert torch.equal(load_images(tmp_path, limit=2), images[:2])


def test_bgr_samples_are_turned_into_rgb(monkeypatch):
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    samples = [dict(img=pixels, img_channel_order="BGR"), dict(img=pixels[..., ::-1], img_channel_order="RGB")]
    monkeypatch.setattr(DATASETS, "build", lambda config: samples)
    images = load_images(dict(type="Any"))
    assert torch.equal(images[0], images[1])
    assert images[0, 0, 0, 0] == 2
    monkeypatch.setattr(DATASETS, "build", lambda config: [dict(inputs=torch.zeros(3, 2, 2))])
    with pytest.raises(TypeError, match="'Any' gives"):
        load_images(dict(type="Any"))


def test_sources_that_are_none_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        load_images(tmp_path / "none.pt")
    with pytest.raises(FileNotFoundError, match="image"):
        load_images(tmp_path)
    os.mkfifo(tmp_path / "x.png")  # which would be waited for
    with pytest.raises(OSError, match=r"x\.png"):
        load_images(tmp_path)
    with pytest.raises(ValueError, match="limit"):
        load_images(tmp_path, limit=0)


def test_loading_runs_no_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return print, ("code was run",)

    torch.save(Trap(), tmp_path / "trap.pt")
    with pytest.raises(ValueError, match=r"trap\.pt"):
        load_images(tmp_path / "trap.pt")
    np.save(tmp_path / "trap.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_images(tmp_path / "trap.npy")
