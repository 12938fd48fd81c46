"""The registries through which configs reach this package, by the prefix ``nda_mm.``.

mmengine imports this module by itself when a config says ``type='nda_mm.X'``, whatever the default scope, so no
``custom_imports`` is needed. A registry names what fills it, which is imported at its first use. Each bridge to a host
is imported by :func:`nda_mm.compat.import_guarded`, so that a missing or broken host costs its own components only.
"""

from __future__ import annotations

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry

SCOPE = "nda_mm"

#: What a negative is; ours alone, so it has no parent. Use :func:`nda_mm.negatives.build_negative` to build from it.
NEGATIVES = Registry("negative", scope=SCOPE, locations=["nda_mm.negatives"])

MODELS = Registry("model", parent=MMENGINE_MODELS, scope=SCOPE, locations=["nda_mm.models.registered"])
DATASETS = Registry("dataset", parent=MMENGINE_DATASETS, scope=SCOPE, locations=["nda_mm.datasets.registered"])
DATA_SAMPLERS = Registry(
    "data sampler", parent=MMENGINE_DATA_SAMPLERS, scope=SCOPE, locations=["nda_mm.engine.registered"]
)
TRANSFORMS = Registry("transform", parent=MMENGINE_TRANSFORMS, scope=SCOPE, locations=["nda_mm.datasets.registered"])
HOOKS = Registry(
    "hook", parent=MMENGINE_HOOKS, scope=SCOPE, locations=["nda_mm.engine.registered", "nda_mm.conversion"]
)
LOOPS = Registry("loop", parent=MMENGINE_LOOPS, scope=SCOPE, locations=["nda_mm.engine.registered"])
OPTIM_WRAPPERS = Registry(
    "optimizer wrapper", parent=MMENGINE_OPTIM_WRAPPERS, scope=SCOPE, locations=["nda_mm.engine.registered"]
)
METRICS = Registry("metric", parent=MMENGINE_METRICS, scope=SCOPE, locations=["nda_mm.evaluation"])
