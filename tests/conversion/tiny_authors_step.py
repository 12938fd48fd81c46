"""Makes authors_step_width4.pt, a training step of the paper authors' code, from the complete file. Not a test.

    python tests/conversion/tiny_authors_step.py ../shared/data/outside/authors_step_width4.pt

The complete file holds one step of ermongroup/NDA@7d7232e at width 4 in float64: weights before, losses, logits,
gradients and weights after. Here, what is exact in float32 is float32, and of gradients and weights after the step only
the length and three projections of each tensor are kept.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FILE = Path(__file__).parent / "authors_step_width4.pt"
#: The vectors of the spectral norm that a step starts from, and its way through the discriminator.
CASES = [("converged", "two_pass"), ("converged", "one_pass"), ("fresh", "one_pass")]


def sketch(tensors: Mapping[str, Tensor]) -> dict[str, list[float]]:
    """Length and three projections of each tensor."""
    sketches = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().double().flatten()
        place = torch.arange(1, len(flat) + 1, dtype=torch.float64)
        sketches[name] = [float(flat.norm()), *(float(flat @ (place * k**0.5).cos()) for k in (2, 3, 5))]
    return sketches


def reduce(complete: Mapping[str, Any]) -> dict[str, Any]:
    """What the test needs of the complete file, without singular values, for which ours has no place."""
    before = complete["before"]
    return {
        "settings": complete["settings"],
        "inputs": {name: _single(value) for name, value in complete["inputs"].items()},
        "before": {net: {name: _single(value) for name, value in before["fresh"][net].items()} for net in "GD"},
        "converged": {
            net: {name: value.clone() for name, value in before["converged"][net].items() if name.endswith("u0")}
            for net in "GD"
        },
        "results": {
            f"{vectors}, {way}": {
                name: sketch({n: v for n, v in value.items() if not n.endswith("sv0")})
                if isinstance(value, Mapping)
                else value
                for name, value in complete["results"][vectors][way].items()
            }
            for vectors, way in CASES
        },
    }


def _single(value: Tensor) -> Tensor:
    if not value.is_floating_point():
        return value.clone()
    single = value.float()
    assert torch.equal(single.double(), value)
    return single


if __name__ == "__main__":
    torch.save(reduce(torch.load(sys.argv[1], weights_only=True)), FILE)
