"""A data set that lives on the device: a batch is then one indexing, and no image passes through Python.

A pipeline that handles small images one by one takes longer for a batch of them than a GPU for the training step. A
data set that fits into the device's memory, and whose images are the same whenever they are read, is read once instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import DataLoader

from nda_mm.utils.random_state import mix

from .data_stream import Place, PlacedBatchSampler

__all__ = ["DeviceLoader", "StackedItems"]

#: Share of the device's free memory that a data set may take.
_SHARE = 0.5
_CHUNK = 512


class StackedItems:
    """The items of a data set, stacked: tensors as one tensor, the rest as lists.

    Args:
        items: Alike in structure: dicts, mmengine data elements, tensors of one shape and type, and whatever else,
            which is listed.
        device: Where the tensors go.

    Raises:
        ValueError: If the items differ in structure.

    Example:
        >>> items = StackedItems([{"inputs": torch.tensor([n, n]), "name": str(n)} for n in range(4)], "cpu")
        >>> items[[3, 1]]
        {'inputs': tensor([[3, 3],
                [1, 1]]), 'name': ['3', '1']}
    """

    def __init__(self, items: Sequence[Any], device: torch.device | str) -> None:
        self.device = torch.device(device)
        self._tree = self._stack(list(items), "an item")

    def _stack(self, values: list[Any], name: str) -> Any:
        first = values[0]
        if any(type(value) is not type(first) for value in values):
            kinds = sorted({type(value).__name__ for value in values})
            raise ValueError(f"{name} is {' here and '.join(kinds)} there, so the items cannot be stacked.")
        if isinstance(first, Tensor):
            if any(value.shape != first.shape or value.dtype != first.dtype for value in values):
                shapes = sorted({f"{tuple(value.shape)} {value.dtype}" for value in values})
                raise ValueError(
                    f"{name} differs from item to item ({', '.join(shapes[:3])}), so it cannot be stacked."
                )
            return torch.stack(values).to(self.device)
        if isinstance(first, Mapping):
            keys = _shared([list(value) for value in values], name)
            return {key: self._stack([value[key] for value in values], f"{name}[{key!r}]") for key in keys}
        if isinstance(first, BaseDataElement):
            fields = _shared([value.keys() for value in values], name)
            known = _shared([value.metainfo_keys() for value in values], name)
            return _Elements(
                type(first),
                {key: self._stack([value.get(key) for value in values], f"{name}.{key}") for key in fields},
                {key: _Listed([value.metainfo[key] for value in values]) for key in known},
            )
        return _Listed(values)

    def __getitem__(self, indices: Sequence[int]) -> Any:
        """The chosen items as one, stacked in the order of ``indices``."""
        return _chosen(self._tree, list(indices), torch.as_tensor(indices).to(self.device, non_blocking=True))


class _Elements:
    """Data elements of one kind: their fields stacked, their meta information listed."""

    def __init__(self, kind: type[BaseDataElement], fields: dict[str, Any], known: dict[str, _Listed]) -> None:
        self.kind, self.fields, self.known = kind, fields, known


class _Listed:
    """Values that are no tensors, one an item."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values
        comparable = all(isinstance(value, (str, int, float, type(None))) for value in values)  # arrays don't say
        self.all_alike = comparable and all(value == values[0] for value in values)

    def chosen(self, indices: list[int]) -> list[Any]:
        if self.all_alike:
            return [self.values[0]] * len(indices)
        return [self.values[index] for index in indices]


def _chosen(tree: Any, indices: list[int], on_device: Tensor) -> Any:
    if isinstance(tree, Tensor):
        return tree.index_select(0, on_device)
    if isinstance(tree, dict):
        return {key: _chosen(value, indices, on_device) for key, value in tree.items()}
    if isinstance(tree, _Elements):
        element = tree.kind()
        element.set_metainfo({key: value.chosen(indices) for key, value in tree.known.items()})
        element.set_data({key: _chosen(value, indices, on_device) for key, value in tree.fields.items()})
        return element
    return tree.chosen(indices)


def _shared(keys: list[Sequence[str]], name: str) -> Sequence[str]:
    first = keys[0]
    if any(set(each) != set(first) for each in keys):
        other = next(each for each in keys if set(each) != set(first))
        raise ValueError(f"{name} has {sorted(first)} here and {sorted(other)} there, so the items cannot be stacked.")
    return first


class DeviceLoader:
    """Gives the batches that a loader gives, stacked and on the device, without reading an item more than once.

    Every item is read twice in the beginning, under different random numbers: where the two differ, the pipeline
    augments at random, which a data set that is read once would freeze, and the loader refuses.

    Args:
        loader: From :func:`~nda_mm.engine.data_stream.build_exact_dataloader`; its data set and its sampler are used.
        device: Says, when the first batch is asked for, where the data shall be.

    Raises:
        ValueError: At the first batch: if items are random or differ in structure, or the data set takes more than half
            of the device's free memory.
    """

    def __init__(self, loader: DataLoader, device: Callable[[], torch.device]) -> None:
        self._loader = loader
        self.dataset: Any = loader.dataset
        self.batch_sampler: PlacedBatchSampler = loader.batch_sampler  # type: ignore[assignment]
        self._device = device
        self._items: StackedItems | None = None

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __getattr__(self, name: str) -> Any:
        # Hooks ask a loader for its ``collate_fn``, ``sampler``, ``num_workers`` ...
        if name.startswith("__") or name == "_loader":
            raise AttributeError(name)
        return getattr(self._loader, name)

    def __iter__(self) -> Iterator[Any]:
        if self._items is None:
            self._items = self._read()
        for places in self.batch_sampler:
            yield self._items[[place.index for place in places]]

    def _read(self) -> StackedItems:
        device = self._device()
        count = len(self.dataset)
        first = self.dataset[Place(0, 0)]
        needed, free = count * _size(first), _free_memory(device)
        if free is not None and needed > _SHARE * free:
            raise ValueError(
                f"data_on_device: the data set would take {needed / 2**30:.1f} GiB of the {free / 2**30:.1f} GiB that "
                f"are free on {device}, and more than {_SHARE:.0%} of them is not taken. Set data_on_device=False."
            )
        items: list[Any] = []
        for start in range(0, count, _CHUNK):
            indices = range(start, min(start + _CHUNK, count))
            chunk, again = (
                self.dataset.__getitems__([Place(index, mix(index, turn)) for index in indices]) for turn in range(2)
            )
            for index, one, other in zip(indices, chunk, again, strict=True):
                if not _equal(one, other):
                    raise ValueError(
                        f"data_on_device: item {index} differs from one reading to the next, so the pipeline augments "
                        "at random, and a data set that is read once would show the same augmentation for ever. Take "
                        "the random transforms out of the pipeline, or set data_on_device=False."
                    )
            items += chunk
        return StackedItems(items, device)


def _size(value: Any) -> int:
    """Bytes of the tensors in an item."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, BaseDataElement):
        return sum(_size(value.get(key)) for key in value.keys())  # noqa: SIM118
    return sum(_size(each) for each in value.values()) if isinstance(value, Mapping) else 0


def _equal(one: Any, other: Any) -> bool:
    """Whether all tensors of two items are equal."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if isinstance(one, BaseDataElement):
        one, other = dict(one.items()), dict(other.items())
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return True


def _free_memory(device: torch.device) -> int | None:
    """In bytes; None on the CPU, whose memory already holds the data set that is read."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
