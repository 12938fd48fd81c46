"""Registries of this package, which configs reach with the prefix ``nda_mm.``.

mmengine imports this module on its own when a config says ``type='nda_mm.X'``, whatever the default scope, so
``custom_imports`` is not needed. A registry imports the module of a component when the component is requested, so that
a GAN does not wait for the detection framework. A missing or broken framework disables only its own components, see
:func:`nda_mm.compat.lazy.import_guarded`.
"""

from __future__ import annotations

from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry

from nda_mm.compat.lazy import import_all, import_component

SCOPE = "nda_mm"


class LazyRegistry(Registry):
    """Registry that imports the module of a requested component, or all modules of its locations if it is not found.

    Its locations are packages; see :func:`nda_mm.compat.lazy.lazy_package`.
    """

    def get(self, key: str) -> Any:
        """Return the component of a name, with or without a scope, or None if there is none."""
        scope, name = self.split_scope_key(key)
        if scope in (None, SCOPE):
            for package in self._locations:
                if name not in self._module_dict:
                    import_component(package, name)
            if name in self._module_dict:
                return self._module_dict[name]
        return super().get(key)

    def import_from_location(self) -> None:
        """Register all components of the locations whose host framework loads."""
        if not self._imported:
            for package in self._locations:
                import_all(package)
        super().import_from_location()


#: Negatives, which only this package has: no parent. Build them with :func:`nda_mm.negatives.build_negative`.
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
