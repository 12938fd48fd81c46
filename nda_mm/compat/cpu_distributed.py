"""Several processes on machines without a GPU.

mmengine's launchers call ``torch.cuda.set_device``, and its Runner hands ``device_ids`` to DDP and leaves SyncBN as it
is; all three fail on a CPU. The first needs no patch, since the Runner leaves an existing process group alone.
"""

from __future__ import annotations

import datetime
import os
import subprocess
from collections.abc import Mapping
from functools import wraps
from typing import Any

from .mend import Mend

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")

#: Where each launcher says who a process is: rank, number of processes, rank within its machine.
_VARIABLES = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}


def launched_rank() -> int:
    """The rank that a launcher has given this process, known before the processes have met; 0 without a launcher.

    Example:
        >>> launched_rank()
        0
    """
    return next((int(os.environ[names[0]]) for names in _VARIABLES.values() if names[0] in os.environ), 0)


def start_process_group(launcher: str, *, timeout: float = 1800.0) -> bool:
    """Start a gloo process group before mmengine's Runner tries to start one of NCCL, if there is no GPU.

    Args:
        launcher: One of ``none``, ``pytorch``, ``slurm``, ``mpi``; as given to the Runner.
        timeout: Seconds after which a process that waits for the others gives up. Defaults to 1800, torch's own.

    Returns:
        Whether a group was started: False with ``none``, with a GPU, or where a group stands already.

    Raises:
        ValueError: If the launcher is unknown.
        RuntimeError: If the launcher's environment variables are missing.

    Example:
        >>> start_process_group("none")
        False
    """
    if launcher not in LAUNCHERS:
        raise ValueError(f"launcher must be one of {', '.join(LAUNCHERS)}, but got {launcher!r}.")
    import torch
    from torch import distributed

    if launcher == "none" or torch.cuda.is_available() or distributed.is_initialized():
        return False
    if not distributed.is_available() or not distributed.is_gloo_available():
        raise RuntimeError("This torch was built without gloo, so several processes on a CPU are not possible.")
    _export_environment(launcher)
    distributed.init_process_group("gloo", timeout=datetime.timedelta(seconds=timeout))
    return True


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


def _export_environment(launcher: str) -> None:
    """Put a launcher's variables under the names that torch's ``env://`` start reads."""
    names = _VARIABLES[launcher]
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise RuntimeError(
            f"--launcher {launcher} needs the environment variables {', '.join(names)}, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set. "
            "Start through tools/dist_train.sh or tools/slurm_train.sh, or use --launcher none."
        )
    for target, source in zip(("RANK", "WORLD_SIZE", "LOCAL_RANK"), names, strict=True):
        os.environ[target] = os.environ[source]
    os.environ.setdefault("MASTER_PORT", os.environ.get("PORT", "29500"))
    if "MASTER_ADDR" not in os.environ:
        os.environ["MASTER_ADDR"] = _first_slurm_host() if launcher == "slurm" else "127.0.0.1"


def _first_slurm_host() -> str:
    """The first machine of this Slurm job, where rank 0 runs."""
    result = subprocess.run(
        ["scontrol", "show", "hostnames", os.environ["SLURM_NODELIST"]], capture_output=True, text=True, check=True
    )
    return result.stdout.split()[0]
