"""Several processes on machines without a GPU.

mmengine's launchers call ``torch.cuda.set_device`` and hand ``device_ids`` to DDP; both fail on a CPU. Neither needs a
patch: the Runner leaves a process group alone that already stands, and a wrapper's own ``device_ids`` go before the
Runner's. Both calls are harmless where mmengine has been repaired, and do nothing where there is a GPU.
"""

from __future__ import annotations

import datetime
import os
import subprocess
from collections.abc import Mapping
from typing import Any

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")

#: Where each launcher says who a process is: rank, number of processes, rank within its machine.
_VARIABLES = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}


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


def cpu_model_wrapper(
    model_wrapper_cfg: Mapping[str, Any] | None, *, find_unused_parameters: bool = False
) -> dict[str, Any] | None:
    """A ``model_wrapper_cfg`` that also works without a GPU.

    Args:
        model_wrapper_cfg: As in the config; None stands for mmengine's default wrapper.
        find_unused_parameters: As in the config; used with the default wrapper. Default: False.

    Returns:
        With a GPU, what came in. Without one, a copy that hands no device to DDP.

    Example:
        >>> import torch
        >>> wrapper = cpu_model_wrapper({"type": "MMSeparateDistributedDataParallel"})
        >>> torch.cuda.is_available() or wrapper["device_ids"] is None
        True
    """
    import torch

    if torch.cuda.is_available():
        return None if model_wrapper_cfg is None else dict(model_wrapper_cfg)
    wrapper = (
        {
            "type": "MMDistributedDataParallel",
            "broadcast_buffers": False,
            "find_unused_parameters": find_unused_parameters,
        }
        if model_wrapper_cfg is None
        else dict(model_wrapper_cfg)
    )
    wrapper["device_ids"] = None
    return wrapper


def plain_norm_layers(cfg: dict[str, Any]) -> int:
    """Replace synchronised batch normalisation, which has no CPU form, by plain one throughout a config.

    Each process then normalises by its own batch. A run of one process needs no help: the Runner does this by itself.

    Args:
        cfg: A config, changed in place.

    Returns:
        Number of layers' configs that were changed; 0 where there is a GPU.

    Example:
        >>> cfg = {"backbone": {"norm_cfg": {"type": "SyncBN", "requires_grad": True}}}
        >>> import torch
        >>> torch.cuda.is_available() or plain_norm_layers(cfg) == 1 and cfg["backbone"]["norm_cfg"]["type"] == "BN"
        True
    """
    import torch

    return 0 if torch.cuda.is_available() else _replace_sync_bn(cfg)


def _replace_sync_bn(node: Any) -> int:
    if isinstance(node, (list, tuple)):
        return sum(map(_replace_sync_bn, node))
    if not isinstance(node, dict):
        return 0
    found = int(node.get("type") in ("SyncBN", "MMSyncBN"))
    if found:
        node["type"] = "BN"
    return found + sum(map(_replace_sync_bn, node.values()))


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
