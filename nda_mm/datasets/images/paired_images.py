"""Pairs of images in one file each, checked before training."""

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
    """mmagic's ``PairedImageDataset``, two images side by side in a file, with the files checked before training.

    Every file is decoded once, at construction (seconds for Cityscapes' 2,975). Those that are damaged, or of an odd
    width, are reported in one warning and left out; mmagic's own class fails at the first of them during training.
    Overrides ``scan_folder`` of mmagic 1.2.

    Args:
        data_root: Folder with ``train`` and, for evaluation, ``test_dir``.
        max_bad: Largest share of unusable files that is accepted, in [0, 1]. Default 0.01.
        kwargs: ``pipeline``, ``test_mode``, ``test_dir`` as mmagic's.

    Raises:
        FileNotFoundError: If the folder is not there or holds no images.
        ValueError: If more than ``max_bad`` of the files can't be used, all of which are named; or ``max_bad`` is out
            of range.

    Example:
        In a config of mmagic::

            dataset = dict(type='nda_mm.PairedImages', data_root='data/pix2pix/facades', pipeline=...)
    """

    def __init__(self, data_root: str, *, max_bad: float = 0.01, **kwargs: Any) -> None:
        self.max_bad = check_within(max_bad, "max_bad", 0, 1)
        super().__init__(check_data_root(data_root), **kwargs)

    def scan_folder(self, path: str) -> list[str]:
        """The usable files of a folder and its subfolders, sorted."""
        folder = Path(path)
        files = image_files(folder) if folder.is_dir() else []
        if not files:
            raise FileNotFoundError(
                f"'{folder}' holds no images. Put the pairs there, two images of one size side by side in each file "
                "(tools/prepare_data.py takes facades and cityscapes), or set data_root. The recipe pix2pix_digits "
                "needs no files."
            )
        reasons = dict(zip(files, pair_faults(files), strict=True))
        bad = [(printable(file.relative_to(folder)), reason) for file, reason in reasons.items() if reason]
        refuse_or_warn(f"pairs in '{folder}' cannot be used", bad, len(files), self.max_bad)
        return [str(file) for file, reason in reasons.items() if not reason]
