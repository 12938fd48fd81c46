"""Image folders of known layout: what is missing is said with the layout and the address."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .cifar import DatasetNotReadableError
from .image_folder import ImageFolder


class KnownFolder(ImageFolder):
    """An :class:`~nda_mm.datasets.images.image_folder.ImageFolder` of one public data set.

    Made for scoring: a damaged folder is read as far as it can be. Every file that cannot be read is named once, in one
    warning, and left out; a folder without any readable image is an error.

    Args:
        data_root: The folder above :attr:`folder_name`, or that folder.
        size: Side of the squares in pixels.
        max_bad: Highest share of unreadable files, 0 to 1. Default 1: as long as one can be read.
        kwargs: As of :class:`~nda_mm.datasets.images.image_folder.ImageFolder`.

    Raises:
        DatasetNotReadableError: If the folder is missing, holds no images, or none (or too few) that can be read.
    """

    title: ClassVar[str]
    #: Where the files are, below ``data_root``, in words.
    layout: ClassVar[str]
    url: ClassVar[str]

    def __init__(
        self, data_root: str, split: str | None = None, *, size: int = 32, max_bad: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(data_root, split, size=size, max_bad=max_bad, **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Find the folder, then read what can be read."""
        root, name = Path(self.data_root), self.split or ""
        if not (root / name).is_dir() and root.name != name:
            raise self._not_readable(f"there is no folder '{root / name}'")
        try:
            return super().load_arrays()
        except (FileNotFoundError, ValueError) as error:
            raise self._not_readable(str(error)) from error

    def _not_readable(self, cause: str) -> DatasetNotReadableError:
        return DatasetNotReadableError(
            f"{self.title} cannot be read from '{self.data_root}': {cause}\nIts files belong at "
            f"'{Path(self.data_root)}/{self.layout}'; they can be had at {self.url}. Name the folder above as "
            "data_root, and fetch damaged files again."
        )
