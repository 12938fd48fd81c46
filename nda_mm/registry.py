"""The registries through which configs reach this package, by the prefix ``nda_mm.``.

mmengine imports this module by itself when a config says ``type='nda_mm.X'``, whatever the default scope, so no
``custom_imports`` is needed. A registry imports a component's module when it is asked for the component, so that a GAN
does not wait for the detection framework. A missing or broken framework costs its own components only, see
:func:`nda_mm.compat.lazy.import_guarded`.
"""

from __future__ import annotations

from typing import Any

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry

from nda_mm.compat.lazy import import_component

SCOPE = "nda_mm"


class LazyRegistry(Registry):
    """A registry that imports the module of the component it is asked for, and all of its locations for other names."""

    def get(self, key: str) -> Any:
        """The component of a name, with or without a scope; None if there is none."""
        scope, name = self.split_scope_key(key)
        if scope in (None, SCOPE):
            for location in self._locations:
                if name not in self._module_dict:
                    import_component(location.removesuffix(".registered"), name)
            if name in self._module_dict:
                return self._module_dict[name]
        return super().get(key)


#: What a negative is; ours alone, so it has no parent. Use :func:`nda_mm.negatives.build_negative` to build from it.
NEGATIVES = Registry("negative", scope=SCOPE, locations=["nda_mm.negatives"])

MODELS = LazyRegistry("model", parent=MMENGINE_MODELS, scope=SCOPE, locations=["nda_mm.models.registered"])
DATASETS = LazyRegistry("dataset", parent=MMENGINE_DATASETS, scope=SCOPE, locations=["nda_mm.datasets.registered"])
DATA_SAMPLERS = LazyRegistry(
    "data sampler", parent=MMENGINE_DATA_SAMPLERS, scope=SCOPE, locations=["nda_mm.engine.registered"]
)
TRANSFORMS = LazyRegistry(
    "transform", parent=MMENGINE_TRANSFORMS, scope=SCOPE, locations=["nda_mm.datasets.registered"]
)
HOOKS = LazyRegistry(
    "hook", parent=MMENGINE_HOOKS, scope=SCOPE, locations=["nda_mm.engine.registered", "nda_mm.conversion"]
)
LOOPS = LazyRegistry("loop", parent=MMENGINE_LOOPS, scope=SCOPE, locations=["nda_mm.engine.registered"])
OPTIM_WRAPPERS = LazyRegistry(
    "optimizer wrapper", parent=MMENGINE_OPTIM_WRAPPERS, scope=SCOPE, locations=["nda_mm.engine.registered"]
)
METRICS = Registry("metric", parent=MMENGINE_METRICS, scope=SCOPE, locations=["nda_mm.evaluation"])
VISUALIZERS = LazyRegistry(
    "visualizer", parent=MMENGINE_VISUALIZERS, scope=SCOPE, locations=["nda_mm.engine.registered"]
)
