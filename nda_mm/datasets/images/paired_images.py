"""Image pairs, two images in each file, checked before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmagic.datasets import PairedImageDataset

from nda_mm.datasets.decoding import image_files
from nda_mm.datasets.report import refuse_or_warn
from nda_mm.functional.checks import check_within
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root, printable

from .pairs import pair_faults


@DATASETS.register_module()
class PairedImages(PairedImageDataset):
    """mmagic's ``PairedImageDataset`` (two images side by side in a file), with all files checked before training.

    Every file is decoded once at construction, which takes seconds for Cityscapes' 2,975 files. Files that are damaged
    or have an odd width are reported in one warning and left out; mmagic's own class fails at the first one during
    training. Overrides ``scan_folder`` of mmagic 1.2.

    Args:
        data_root: Folder with ``train`` and, for evaluation, ``test_dir``.
        max_bad: Largest accepted share of unusable files, in [0, 1]. Defaults to 0.01.
        kwargs: Arguments of mmagic's class: ``pipeline``, ``test_mode``, ``test_dir``.

    Raises:
        FileNotFoundError: If the folder is missing or contains no images.
        ValueError: If more than ``max_bad`` of the files cannot be used (the message names them), or if ``max_bad`` is
            out of range.

    Example:
        In a config of mmagic::

            dataset = dict(type='nda_mm.PairedImages', data_root='data/pix2pix/facades', pipeline=...)
    """

    def __init__(self, data_root: str, *, max_bad: float = 0.01, **kwargs: Any) -> None:
        self.max_bad = check_within(max_bad, "max_bad", 0, 1)
        super().__init__(check_data_root(data_root), **kwargs)

    def scan_folder(self, path: str) -> list[str]:
        """Return the usable files of a folder and its subfolders, sorted."""
        folder = Path(path)
        files = image_files(folder) if folder.is_dir() else []
        if not files:
            raise FileNotFoundError(
                f"'{folder}' contains no images. Put the pairs there, two images of the same size side by side in each "
                "file (tools/prepare_data.py does this for facades and cityscapes), or set data_root. The recipe "
                "pix2pix_digits needs no files."
            )
        reasons = dict(zip(files, pair_faults(files), strict=True))
        bad = [(printable(file.relative_to(folder)), reason) for file, reason in reasons.items() if reason]
        refuse_or_warn(f"pairs in '{folder}' cannot be used", bad, len(files), self.max_bad)
        return [str(file) for file, reason in reasons.items() if not reason]
