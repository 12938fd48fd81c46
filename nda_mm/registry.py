"""The registries through which configs reach this package, by the prefix ``nda_mm.``.

mmengine imports this module by itself when a config says ``type='nda_mm.X'``, whatever the default scope, so no
``custom_imports`` is needed. A registry imports a component's module when it is asked for the component, so that a GAN
does not wait for the detection framework. A missing or broken framework costs its own components only, see
:func:`nda_mm.compat.lazy.import_guarded`.
"""

from __future__ import annotations

from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry

from nda_mm.compat.lazy import import_all, import_component

SCOPE = "nda_mm"


class LazyRegistry(Registry):
    """A registry that imports the module of the component it is asked for, and all modules of its locations for others.

    Its locations are packages; see :func:`nda_mm.compat.lazy.lazy_package`.
    """

    def get(self, key: str) -> Any:
        """The component of a name, with or without a scope; None if there is none."""
        scope, name = self.split_scope_key(key)
        if scope in (None, SCOPE):
            for package in self._locations:
                if name not in self._module_dict:
                    import_component(package, name)
            if name in self._module_dict:
                return self._module_dict[name]
        return super().get(key)

    def import_from_location(self) -> None:
        """Register everything of the locations whose host loads."""
        if not self._imported:
            for package in self._locations:
                import_all(package)
        super().import_from_location()


#: What a negative is; ours alone, so it has no parent. Use :func:`nda_mm.negatives.build_negative` to build from it.
NEGATIVES = Registry("negative", scope=SCOPE, locations=["nda_mm.negatives"])

MODELS = LazyRegistry("model", parent=root.MODELS, scope=SCOPE, locations=["nda_mm.models"])
DATASETS = LazyRegistry("dataset", parent=root.DATASETS, scope=SCOPE, locations=["nda_mm.datasets"])
TRANSFORMS = LazyRegistry("transform", parent=root.TRANSFORMS, scope=SCOPE, locations=["nda_mm.datasets"])
_ENGINE = ["nda_mm.engine"]
DATA_SAMPLERS = LazyRegistry("data sampler", parent=root.DATA_SAMPLERS, scope=SCOPE, locations=_ENGINE)
HOOKS = LazyRegistry("hook", parent=root.HOOKS, scope=SCOPE, locations=[*_ENGINE, "nda_mm.conversion"])
LOOPS = LazyRegistry("loop", parent=root.LOOPS, scope=SCOPE, locations=_ENGINE)
OPTIM_WRAPPERS = LazyRegistry("optimizer wrapper", parent=root.OPTIM_WRAPPERS, scope=SCOPE, locations=_ENGINE)
VISUALIZERS = LazyRegistry("visualizer", parent=root.VISUALIZERS, scope=SCOPE, locations=_ENGINE)
METRICS = Registry("metric", parent=root.METRICS, scope=SCOPE, locations=["nda_mm.evaluation"])
