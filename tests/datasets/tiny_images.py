"""Image files of noise, and CIFAR-10 in its official form with a few images."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tiny_archives import make_tar
from torchvision import datasets

RNG = np.random.default_rng(0)
ARCHIVE, FOLDER = "cifar-10-python.tar.gz", "cifar-10-batches-py"


def save_noise(path: Path, height: int = 32, width: int = 32) -> np.ndarray:
    """Write one image of noise, and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(image).save(path)
    return image


def make_batch(count: int) -> dict[str, Any]:
    return {"labels": [n % 10 for n in range(count)], "data": RNG.integers(0, 256, (count, 3072), dtype=np.uint8)}


def write_cifar10(root: Path) -> tuple[dict[str, Any], dict[str, dict]]:
    """Write the archive; return what torchvision's class would say of it, and the batches."""
    batches = {"data_batch_1": make_batch(20), "data_batch_2": make_batch(20), "test_batch": make_batch(10)}
    contents = {name: pickle.dumps(batch) for name, batch in batches.items()}
    contents["batches.meta"] = pickle.dumps({"label_names": list("0123456789")})
    make_tar(root / ARCHIVE, {f"{FOLDER}/{name}": content for name, content in contents.items()})
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    published = dict(
        url=f"http://127.0.0.1:9/{ARCHIVE}",  # where nobody answers
        tgz_md5=hashlib.md5((root / ARCHIVE).read_bytes()).hexdigest(),
        train_list=[[name, md5[name]] for name in ("data_batch_1", "data_batch_2")],
        test_list=[["test_batch", md5["test_batch"]]],
        meta={"filename": "batches.meta", "key": "label_names", "md5": md5["batches.meta"]},
    )
    return published, batches


def as_published(settings: dict[str, Any]) -> type[datasets.CIFAR10]:
    return type("PublishedCIFAR10", (datasets.CIFAR10,), settings)
