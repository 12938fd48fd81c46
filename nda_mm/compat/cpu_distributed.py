"""Several processes on machines without a GPU.

mmengine's Runner hands ``device_ids`` to DDP and leaves SyncBN as it is; both fail on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import Any

from .mend import Mend


class CPUDistributed(Mend):
    """Let the Runner wrap a model for several processes without a GPU.

    DDP is handed no device, and synchronised batch normalisation, which has no CPU form, becomes plain: each process
    then normalises by its own batch. A run of one process needs no help, since the Runner does the same by itself.
    """

    name = "cpu-distributed"
    host = "mmengine"
    reason = "ValueError: DistributedDataParallel device_ids ... or SyncBatchNorm, in several processes without a GPU"
    versions = "mmengine <= 0.10.7"

    def needed(self) -> bool:
        from mmengine.runner import Runner

        return "LOCAL_RANK" in Runner.wrap_model.__code__.co_consts  # the number of the GPU that it hands to DDP

    def apply(self) -> None:
        import torch
        from mmengine.model import is_model_wrapper, revert_sync_batchnorm
        from mmengine.runner import Runner

        original = Runner.wrap_model

        @wraps(original)
        def wrap_model(self: Any, model_wrapper_cfg: Mapping[str, Any] | None, model: Any) -> Any:
            if self.distributed and not torch.cuda.is_available() and not is_model_wrapper(model):
                if any(type(module).__name__ == "SyncBatchNorm" for module in model.modules()):
                    self.logger.warning("Without a GPU SyncBN becomes BN: each process normalises by its own batch.")
                    model = revert_sync_batchnorm(model)
                default = {
                    "broadcast_buffers": False,
                    "find_unused_parameters": self.cfg.get("find_unused_parameters", False),
                }
                model_wrapper_cfg = {**(model_wrapper_cfg or default), "device_ids": None}
            return original(self, model_wrapper_cfg, model)

        Runner.wrap_model = wrap_model
