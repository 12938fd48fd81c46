"""Sampling of 8-bit RGB images from mmagic's GANs, for grids, files and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

import torch
from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch.nn.utils.spectral_norm import SpectralNorm

from nda_mm.functional.checks import check_choice

SAMPLE_MODELS = ("ema", "orig")

#: Networks that are inside :func:`own_spectral_norm`.
_UP_TO_DATE: WeakSet[nn.Module] = WeakSet()


@contextmanager
def batch_statistics(module: nn.Module) -> Iterator[None]:
    """Make batch normalization use the statistics of the current batch, without changing its running statistics.

    The networks stay in ``eval`` mode: spectral normalization does not iterate and dropout stays off. This is the
    sampling mode of the BigGAN authors ("G in train mode"), without its side effects.

    Args:
        module: Network whose batch normalization layers are switched inside the context.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    running = [(layer.running_mean, layer.running_var) for layer in layers]
    for layer in layers:
        layer.running_mean = layer.running_var = None
    try:
        yield
    finally:
        for layer, (mean, var) in zip(layers, running, strict=True):
            layer.running_mean, layer.running_var = mean, var


@contextmanager
def own_spectral_norm(module: nn.Module, iterations: int = 50) -> Iterator[None]:
    """Make spectral normalization use the norm of the network's own weights, without changing its saved vectors.

    An EMA averages weights but holds the singular vectors of the generator in training. In a narrow BigGAN on CIFAR-10
    (16x16 pixels, momentum 1e-4), sigma was up to 10 % off after 300 updates, and images by 0.42 of their std. After 50
    iterations, 0.3 % and 0.007 remain. The iterations start from the saved vectors, so samples depend on the checkpoint
    alone. Nested contexts and networks in training mode are left unchanged.

    Args:
        module: Network in ``eval`` mode, normalized by :func:`torch.nn.utils.spectral_norm` or by the
            layers of mmagic's ``sn_style='ajbrock'``.
        iterations: Number of power iterations. Defaults to 50.
    """
    if module.training or module in _UP_TO_DATE:
        yield
        return
    kept = []
    _UP_TO_DATE.add(module)
    try:
        for layer in module.modules():
            # Functions that run one power iteration, of PyTorch's hooks or of mmagic's own layers.
            steps: list[Any] = [
                partial(hook.compute_weight, layer, do_power_iteration=True)
                for hook in layer._forward_pre_hooks.values()
                if isinstance(hook, SpectralNorm)
            ]
            if hasattr(layer, "sn_weight"):
                steps.append(layer.sn_weight)
            if not steps:
                continue
            # Iterate on copies of the vectors; `kept` holds the originals.
            kept.append((layer, dict(layer._buffers)))
            for name, buffer in list(layer.named_buffers(recurse=False)):
                layer._buffers[name] = buffer.clone()
            layer.training = True  # otherwise mmagic's layers don't store the new vectors
            with torch.no_grad():
                for step in steps * iterations:
                    step()
            layer.training = False
        yield
    finally:
        _UP_TO_DATE.discard(module)
        for layer, buffers in kept:
            layer.training = False
            layer._buffers.update(buffers)


def generator_of(model: Any, sample_model: str) -> Any:
    """Return the EMA of the generator (``'ema'``) or the generator in training (``'orig'``).

    Raises:
        ValueError: If the name is unknown, or if the model has no EMA.
    """
    check_choice(sample_model, "sample_model", SAMPLE_MODELS)
    if sample_model == "ema" and not getattr(model, "with_ema_gen", False):
        raise ValueError("the model has no EMA of its generator; set sample_model='orig'")
    return model.generator_ema if sample_model == "ema" else model.generator


@torch.no_grad()
def sample_images(
    model: Any,
    noise: Tensor,
    label: Tensor | None = None,
    *,
    sample_model: str = "ema",
    use_batch_statistics: bool = False,
    batch_size: int = 64,
) -> Tensor:
    """Generate images in ``eval`` mode.

    An EMA holds a copy of the generator's running statistics (or, with ``update_buffers=True``, their average), not
    statistics of its own features. Spectral normalization uses the norm of the EMA's own weights, see
    :func:`own_spectral_norm`.

    Args:
        model: GAN of mmagic, with or without a distributed wrapper.
        noise: Noise vectors, on any device.
        label: Classes to generate, or ``None`` for an unconditional generator. Defaults to None.
        sample_model: Generator to use, ``'ema'`` or ``'orig'``. Defaults to ``'ema'``.
        use_batch_statistics: Whether to normalize by the statistics of each batch instead of the running ones.
            An image then depends on the rest of its batch. Defaults to False.
        batch_size: Number of images per forward pass. Defaults to 64.

    Shape:
        ``noise`` (N, noise_size), ``label`` (N,), result (N, 3, H, W).

    Returns:
        uint8 RGB images in [0, 255] on the CPU. The model's mode is unchanged.
    """
    model = model.module if is_model_wrapper(model) else model
    generator = generator_of(model, sample_model)
    inner = getattr(generator, "module", generator)
    was_training = generator.training
    generator.eval()
    images = []
    try:
        with own_spectral_norm(inner) if sample_model == "ema" else nullcontext():
            for start in range(0, len(noise), batch_size):
                part = slice(start, start + batch_size)
                classes = {} if label is None else dict(label=label[part].to(model.device))
                with batch_statistics(inner) if use_batch_statistics else nullcontext():
                    output = inner(noise[part].to(model.device), return_noise=False, **classes)
                images.append(as_rgb(model.data_preprocessor, output).cpu())
    finally:
        generator.train(was_training)
    return torch.cat(images)


def sample_classes(
    model: Any,
    per_class: int,
    classes: Sequence[int] | None = None,
    *,
    num: int | None = None,
    seed: int = 0,
    **settings: Any,
) -> tuple[Tensor, Tensor]:
    """Generate the same number of images of each class, from noise determined by the seed.

    Args:
        model: GAN of mmagic. Without classes, or with a single one, it generates ``per_class`` rows of
            ``per_class`` images.
        per_class: Number of images of each class, at least 1.
        classes: Class indices. Defaults to None: all classes of the model.
        num: Total number of images, instead of ``per_class``. The first classes may get one more. Defaults to
            None.
        seed: Seed for the noise, which is drawn on the CPU so that every device gives the same images. Defaults
            to 0.
        **settings: Arguments of :func:`sample_images`.

    Returns:
        uint8 RGB images (N, 3, H, W) and their classes (N,), class by class.

    Raises:
        ValueError: If ``per_class`` or ``num`` is not positive, or if the model does not have one of the classes.
    """
    for name, value in dict(per_class=per_class, num=num).items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, but got {value}")
    model = model.module if is_model_wrapper(model) else model
    # The requested classes; a model without classes gets rows of class 0.
    known = getattr(model, "num_classes", None)
    count = known or 1
    wanted = list(classes or (range(count) if count > 1 else [0] * per_class))
    if not all(0 <= index < count for index in wanted):
        raise ValueError(f"classes must be in 0 to {count - 1}, but got {wanted}")
    # The class and the noise of each image.
    label = torch.tensor(wanted)
    if num is None:
        label = label.repeat_interleave(per_class)
    else:
        label = label.repeat(-(-num // len(label)))[:num].sort().values
    noise = torch.randn(len(label), model.noise_size, generator=torch.Generator().manual_seed(seed))
    return sample_images(model, noise, label if known else None, **settings), label


def write_samples(folder: str | Path, images: Tensor, label: Tensor, *, columns: int, scale: int = 2) -> Path:
    """Write images as separate PNG files, such as ``class_003/00017.png``, and as one sheet.

    Args:
        folder: Output folder, created if missing. Existing files of the same names are replaced.
        images: uint8 RGB images. Shape: (N, 3, H, W).
        label: Classes of the images. Shape: (N,).
        columns: Number of images in a row of the sheet.
        scale: Factor by which images are enlarged on the sheet. Defaults to 2.

    Returns:
        Path of the sheet, ``sheet.png`` in the folder.
    """
    from PIL import Image

    from nda_mm.utils.image_grid import save_image_grid

    folder = Path(folder)
    seen: dict[int, int] = {}
    for image, index in zip(images, label.tolist(), strict=True):
        path = folder / f"class_{index:03d}" / f"{seen.get(index, 0):05d}.png"
        seen[index] = seen.get(index, 0) + 1
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return save_image_grid(folder / "sheet.png", images, columns, scale=scale)


def from_rgb(data_preprocessor: Any, images: Tensor) -> Tensor:
    """Normalize 8-bit RGB images as mmagic's preprocessor does in training; :func:`as_rgb` undoes it.

    Args:
        data_preprocessor: mmagic's data preprocessor.
        images: uint8 RGB images. Shape: (N, 3, H, W).

    Returns:
        float32 images of the same shape, on the preprocessor's device.
    """
    pixels = (images if data_preprocessor.output_channel_order == "RGB" else images.flip(1)).float()
    pixels = pixels.to(data_preprocessor.device)
    if getattr(data_preprocessor, "_enable_normalize", True):
        pixels = (pixels - data_preprocessor.mean.view(-1, 1, 1)) / data_preprocessor.std.view(-1, 1, 1)
    return pixels


def as_rgb(data_preprocessor: Any, images: Tensor) -> Tensor:
    """Convert network images to uint8 RGB, by undoing mmagic's normalization and channel order.

    Args:
        data_preprocessor: mmagic's data preprocessor, whose mean, std and ``output_channel_order``
            are undone. Without an order, images are assumed to be BGR, as in mmagic.
        images: Images as the networks see them. Shape: (N, C, H, W).

    Returns:
        uint8 images of the same shape.
    """
    if getattr(data_preprocessor, "_enable_normalize", True):
        images = images * data_preprocessor.std.view(-1, 1, 1) + data_preprocessor.mean.view(-1, 1, 1)
    pixels = images.float().round().clamp(0, 255).to(torch.uint8)
    is_bgr = images.shape[1] == 3 and data_preprocessor.output_channel_order != "RGB"
    return pixels.flip(1) if is_bgr else pixels
