"""Training steps as CUDA graphs: the host starts a whole step with one call instead of thousands."""

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

    The first calls run as usual, since libraries choose their kernels and optimizers make their states in them. The
    next call captures the step, which from then on is replayed as it is: whatever Python decided stays decided. What a
    step depends on besides its tensors is therefore its ``key``; with another key it starts anew. Random numbers drawn
    on the device go on from one replay to the next as they would without the graph.

    Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture

    Args:
        warmup: Calls that run as usual for each key, at least 1. Default 3.

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
        """Take the step.

        Args:
            step: Forward pass, backward pass and update; takes the inputs by name, and returns scalars to log.
            inputs: Tensors on the device, by name.
            wrapper: What ``step`` updates with; :func:`can_capture` must hold.
            key: What else the step depends on, besides names and shapes of the inputs and the optimizer's settings.

        Returns:
            What ``step`` returns, as tensors of their own in float32.
        """
        groups = wrapper.optimizer.param_groups
        settings = [{name: value for name, value in group.items() if name != "params"} for group in groups]
        shapes = [(name, each.shape, each.stride(), each.dtype) for name, each in inputs.items()]
        key = (key, str(settings), tuple(shapes))
        if key != self._key:
            self._restart(key)
        self._calls += 1
        if self._calls <= self.warmup:
            return self._on_side_stream(step, inputs, wrapper.optimizer)
        if self._graph is None:
            self._capture(step, inputs, wrapper.optimizer)
        else:
            wrapper._inner_count += 1  # as its update does
        for name, value in inputs.items():
            self._inputs[name].copy_(value)
        self._graph.replay()  # type: ignore[union-attr]
        return dict(zip(self._names, self._values.clone().unbind(), strict=True))  # the next replay writes over them

    def _on_side_stream(self, step: Step, inputs: Mapping[str, Tensor], optimizer: Optimizer) -> dict[str, Tensor]:
        """The step as usual, on a stream of its own, as a capture needs it of the calls before it."""
        self._stream = self._stream or torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.current_stream())
        with _capturable(optimizer), torch.cuda.stream(self._stream):
            log_vars = step(**inputs)
        torch.cuda.current_stream().wait_stream(self._stream)
        return log_vars

    def _capture(self, step: Step, inputs: Mapping[str, Tensor], optimizer: Optimizer) -> None:
        self._inputs = {name: each.clone(memory_format=torch.preserve_format) for name, each in inputs.items()}
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on: one may be pinning the next batch.
        with _capturable(optimizer), torch.cuda.graph(graph, capture_error_mode="thread_local"):
            log_vars = step(**self._inputs)
            self._values = torch.stack([value.detach().float() for value in log_vars.values()])
        self._names, self._graph = list(log_vars), graph


@contextmanager
def _capturable(optimizer: Optimizer) -> Iterator[None]:
    """Let the optimizer count its steps on the device.

    Afterwards its settings are as before, so that a checkpoint can be resumed on a CPU, where torch refuses them.
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
    """Whether steps that end with this wrapper's update never wait for the device and are all alike.

    Not with accumulated gradients, clipped gradients (mmengine logs their norm), a loss scaler, or an optimizer that
    counts its steps on the host only.

    Args:
        wrapper: The optimizer wrapper.

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
