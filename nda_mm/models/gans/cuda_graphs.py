"""Training steps as CUDA graphs: the host launches a whole step with one call instead of thousands."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor
from torch.optim import Optimizer

Step = Callable[..., "dict[str, Tensor]"]


class GraphedStep:
    """A training step that is captured once and then replayed.

    The first calls run eagerly, because libraries choose their kernels and optimizers create their states in them. The
    next call captures the step. From then on it is replayed exactly, including all decisions that Python made.
    Everything besides its tensors that a step depends on must therefore be in its ``key``. With a different key,
    warmup and capture start over. Random numbers drawn on the device continue from one replay to the next as they
    would without the graph.

    Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture

    Args:
        warmup: Number of eager calls for each key, at least 1. Defaults to 3.

    Example:
        >>> step = GraphedStep()
        >>> step.replays  # nothing is captured yet
        False
    """

    def __init__(self, warmup: int = 3) -> None:
        self.warmup = warmup
        self._restart(None)

    def _restart(self, key: Hashable) -> None:
        self._key = key
        self._calls = 0
        self._stream: torch.cuda.Stream | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: dict[str, Tensor] = {}
        self._names: list[str] = []
        self._values: Tensor = torch.empty(0)

    @property
    def replays(self) -> bool:
        """Whether the step has been captured."""
        return self._graph is not None

    def __call__(
        self, step: Step, inputs: Mapping[str, Tensor], wrapper: OptimWrapper, key: Hashable
    ) -> dict[str, Tensor]:
        """Run the step.

        Args:
            step: Forward pass, backward pass and update. Takes the inputs by name, and returns scalars to log.
            inputs: Tensors on the device, by name.
            wrapper: Optimizer wrapper that ``step`` updates with. It must fulfill :func:`can_capture`.
            key: Anything else the step depends on, besides names and shapes of the inputs and the optimizer's settings.

        Returns:
            The values that ``step`` returns; from a replay, as new float32 tensors.
        """
        # Start over if anything has changed that a replay would ignore.
        groups = wrapper.optimizer.param_groups
        settings = [{name: value for name, value in group.items() if name != "params"} for group in groups]
        shapes = [(name, each.shape, each.stride(), each.dtype) for name, each in inputs.items()]
        key = (key, str(settings), tuple(shapes))
        if key != self._key:
            self._restart(key)
        # Warm up, capture, replay.
        self._calls += 1
        if self._calls <= self.warmup:
            return self._on_side_stream(step, inputs, wrapper.optimizer)
        if self._graph is None:
            self._capture(step, inputs, wrapper.optimizer)
        else:
            wrapper._inner_count += 1  # as its update would do
        for name, value in inputs.items():
            self._inputs[name].copy_(value)
        self._graph.replay()  # type: ignore[union-attr]
        return dict(zip(self._names, self._values.clone().unbind(), strict=True))  # the next replay overwrites them

    def _on_side_stream(self, step: Step, inputs: Mapping[str, Tensor], optimizer: Optimizer) -> dict[str, Tensor]:
        """Run the step eagerly on a side stream, which a capture requires of the calls before it."""
        self._stream = self._stream or torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.current_stream())
        with _capturable(optimizer), torch.cuda.stream(self._stream):
            log_vars = step(**inputs)
        torch.cuda.current_stream().wait_stream(self._stream)
        return log_vars

    def _capture(self, step: Step, inputs: Mapping[str, Tensor], optimizer: Optimizer) -> None:
        self._inputs = {name: each.clone(memory_format=torch.preserve_format) for name, each in inputs.items()}
        graph = torch.cuda.CUDAGraph()
        # Other threads may continue: one may be pinning the next batch.
        with _capturable(optimizer), torch.cuda.graph(graph, capture_error_mode="thread_local"):
            log_vars = step(**self._inputs)
            self._values = torch.stack([value.detach().float() for value in log_vars.values()])
        self._names, self._graph = list(log_vars), graph


@contextmanager
def _capturable(optimizer: Optimizer) -> Iterator[None]:
    """Make the optimizer count its steps on the device.

    The setting is restored afterwards, so that a checkpoint can be resumed on a CPU, where torch rejects it.
    """
    before = [group["capturable"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["capturable"] = True
    for parameter, state in optimizer.state.items():
        state["step"] = state["step"].to(parameter.device)
    try:
        yield
    finally:
        for group, value in zip(optimizer.param_groups, before, strict=True):
            group["capturable"] = value


def can_capture(wrapper: OptimWrapper) -> bool:
    """Return whether steps that end with this wrapper's update are all alike and never wait for the device.

    This excludes accumulated gradients, clipped gradients (mmengine logs their norm), a loss scaler, and optimizers
    that can only count their steps on the host.

    Args:
        wrapper: Optimizer wrapper of the step.

    Example:
        >>> weights = [torch.nn.Parameter(torch.zeros(2))]
        >>> can_capture(OptimWrapper(torch.optim.Adam(weights))), can_capture(OptimWrapper(torch.optim.SGD(weights)))
        (True, False)
    """
    return (
        wrapper._accumulative_counts == 1
        and not wrapper.clip_grad_kwargs
        and not isinstance(wrapper, AmpOptimWrapper)
        and all("capturable" in group for group in wrapper.optimizer.param_groups)
    )
