"""Inheriting this package's recipes by ``_base_ = 'nda_mm::biggan/biggan_digits.py'``.

mmengine resolves ``package::config`` for a fixed list of OpenMMLab packages, insists on a folder in the path, and looks
for editable installs in the wrong place. The names with our prefix are therefore resolved here; all others go to
mmengine. A tool that does not import this package (a host's own ``tools/train.py``) reads the config before it could be
told; start it by ``python -m nda_mm.compat.auto tools/train.py CONFIG``.
"""

from __future__ import annotations

from typing import Any

from nda_mm.utils.files import PREFIX, recipe_path

from .mend import Mend


class ExternalConfigs(Mend):
    """Let a config of any project inherit a recipe of ours by the prefix ``nda_mm::``.

    The recipe is read as if it had been named by its path, so its names are looked up under the default scope that it
    declares itself.
    """

    name = "external-configs"
    host = "mmengine"
    reason = "AssertionError: mmengine does not support to load nda_mm config, at `_base_ = 'nda_mm::...'`"
    versions = "mmengine <= 0.10.7"

    def needed(self) -> bool:
        from mmengine.config import Config

        try:
            Config._get_cfg_path(f"{PREFIX}no_such_recipe.py", "")
        except FileNotFoundError:
            return False  # the prefix was understood, and only the file is missing
        except (AssertionError, ValueError):
            return True
        return False

    def apply(self) -> None:
        from mmengine.config import Config

        hosts_own = Config._get_cfg_path

        def get_cfg_path(cfg_path: str, filename: str) -> Any:
            if cfg_path.startswith(PREFIX):
                return str(recipe_path(cfg_path)), None
            return hosts_own(cfg_path, filename)

        Config._get_cfg_path = staticmethod(get_cfg_path)
