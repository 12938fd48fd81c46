"""A data set kept on the device, so that a batch is a single indexing operation without Python code per image.

A pipeline that processes small images one by one takes longer per batch than a GPU takes for the training step. If a
data set fits into the device's memory and its images are the same on every read, it can be read once instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import DataLoader

from nda_mm.utils.random_state import mix

from .data_stream import SeededBatchSampler, SeededIndex, Wrapper

#: Maximum share of the device's free memory for a data set.
_SHARE = 0.5
_CHUNK = 512


class StackedItems:
    """The items of a data set, stacked: tensors as one tensor, other values as lists.

    Args:
        items: Dicts, mmengine data elements or tensors, all of the same structure and shape.
        device: Device of the stacked tensors.

    Raises:
        ValueError: If the items differ in structure or shape.

    Example:
        >>> items = StackedItems([{"inputs": torch.tensor([n, n]), "name": str(n)} for n in range(4)], "cpu")
        >>> items[[3, 1]]
        {'inputs': tensor([[3, 3],
                [1, 1]]), 'name': ['3', '1']}
    """

    def __init__(self, items: Sequence[Any], device: torch.device | str) -> None:
        self.device = torch.device(device)
        self._tree = _stack(list(items), self.device)

    def __getitem__(self, indices: Sequence[int]) -> Any:
        """Return the chosen items, stacked in the order of ``indices``."""
        return _choose(self._tree, indices, torch.as_tensor(indices).to(self.device, non_blocking=True))


def _stack(values: list[Any], device: torch.device) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        shapes = {(tuple(value.shape), value.dtype) for value in values}
        if len(shapes) > 1:
            raise ValueError(f"Items must have the same shape and dtype, but got {sorted(map(str, shapes))[:3]}.")
        return torch.stack(values).to(device)
    if isinstance(first, Mapping):
        return {key: _stack(column, device) for key, column in _columns(values).items()}
    if isinstance(first, BaseDataElement):
        metainfo = _columns([dict(value.metainfo_items()) for value in values])
        return type(first)(metainfo=metainfo, **_stack([dict(value.items()) for value in values], device))
    return values


def _columns(values: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    keys = values[0].keys()
    for value in values:
        if value.keys() != keys:
            raise ValueError(f"Items must have the same keys, but got {sorted(keys)} and {sorted(value)}.")
    return {key: [value[key] for value in values] for key in keys}


def _choose(tree: Any, indices: Sequence[int], on_device: Tensor) -> Any:
    if isinstance(tree, Tensor):
        return tree.index_select(0, on_device)
    if isinstance(tree, dict):
        return {key: _choose(value, indices, on_device) for key, value in tree.items()}
    if isinstance(tree, BaseDataElement):
        metainfo = _choose(dict(tree.metainfo_items()), indices, on_device)
        return type(tree)(metainfo=metainfo, **_choose(dict(tree.items()), indices, on_device))
    return [tree[index] for index in indices]


class DeviceLoader(Wrapper):
    """Loader that keeps the data of another one on the device and yields the same batches, stacked.

    Before the first batch, every item is read twice with different seeds. If the results differ, the pipeline augments
    at random. Keeping one result would freeze the augmentation, so an error is raised.

    Args:
        loader: A loader from :func:`~nda_mm.engine.data_stream.build_exact_dataloader`.
        device: Function that returns the device. It is called when the first batch is requested.

    Raises:
        ValueError: At the first batch, if items are random or differ in structure, or if the data set needs more than
            half of the device's free memory.
    """

    def __init__(self, loader: DataLoader, device: Callable[[], torch.device]) -> None:
        super().__init__(loader)
        self.dataset: Any = loader.dataset
        self.batch_sampler: SeededBatchSampler = loader.batch_sampler  # type: ignore[assignment]
        self._device = device
        self._items: StackedItems | None = None

    def __iter__(self) -> Iterator[Any]:
        if self._items is None:
            self._items = self._read()
        for batch in self.batch_sampler:
            yield self._items[[index for index, _ in batch]]

    def _read(self) -> StackedItems:
        # Check that the data set fits on the device.
        device, count = self._device(), len(self.dataset)
        if device.type == "cuda":  # on a CPU, the items are in memory anyway
            needed = count * sum(tensor.numel() * tensor.element_size() for tensor in _tensors(self._items_at([0])[0]))
            free = torch.cuda.mem_get_info(device)[0]
            if needed > _SHARE * free:
                raise ValueError(
                    f"data_on_device: the data set needs {needed / 2**30:.1f} GiB, more than {_SHARE:.0%} of the "
                    f"{free / 2**30:.1f} GiB free on {device}; set it to False."
                )
        # Read every item twice, to find random transforms.
        items: list[Any] = []
        for start in range(0, count, _CHUNK):
            indices = range(count)[start : start + _CHUNK]
            chunk, again = self._items_at(indices), self._items_at(indices, seed=1)
            for index, one, other in zip(indices, chunk, again, strict=True):
                if not all(map(torch.equal, _tensors(one), _tensors(other))):
                    raise ValueError(f"data_on_device: item {index} changes between reads; set it to False.")
            items += chunk
        return StackedItems(items, device)

    def _items_at(self, indices: Sequence[int], seed: int = 0) -> list[Any]:
        return self.dataset.__getitems__([SeededIndex(index, mix(index, seed)) for index in indices])


def _tensors(item: Any) -> Iterator[Tensor]:
    if isinstance(item, Tensor):
        yield item
    elif isinstance(item, (Mapping, BaseDataElement)):
        for _, value in item.items():
            yield from _tensors(value)
