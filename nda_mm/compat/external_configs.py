"""Inheriting this package's recipes by ``_base_ = 'nda_mm::biggan/biggan_digits.py'``.

mmengine resolves ``package::config`` for a fixed list of OpenMMLab packages, insists on a folder in the path, and looks
for editable installs in the wrong place. The names with our prefix are therefore resolved here; all others go to
mmengine. A tool that does not import this package (a host's own ``tools/train.py``) reads the config before it could be
told; start it by ``python -m nda_mm.compat.auto tools/train.py CONFIG``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .mend import Mend

PREFIX = "nda_mm::"


def recipe_path(name: str) -> Path:
    """The file of a config: a path, or a recipe of this package by its name.

    A path that does not exist is looked up among the recipes, so that ``configs/biggan_digits.py`` finds
    ``configs/biggan/biggan_digits.py``.

    Args:
        name: A path, or a recipe's name with or without ``nda_mm::``, its folder and ``.py``.

    Returns:
        The path as given, or of the recipe inside the installed package or in the checkout.

    Raises:
        FileNotFoundError: If there is none; the message lists the recipes.
    """
    if not name.startswith(PREFIX) and Path(name).is_file():
        return Path(name)
    package = Path(__file__).resolve().parents[1]
    folders = [folder for folder in (package / ".mim" / "configs", package.parent / "configs") if folder.is_dir()]
    wanted = Path(name.removeprefix(PREFIX).removesuffix(".py") + ".py")
    if "configs" in wanted.parts[:-1]:
        wanted = Path(*wanted.parts[wanted.parts.index("configs") + 1 :])
    for folder in folders:
        for path in (*folder.glob(f"[a-z]*/{wanted}"), folder / wanted):
            if path.is_file():
                return path
    known = sorted({path.stem for folder in folders for path in folder.glob("[a-z]*/*.py")})
    raise FileNotFoundError(
        f"There is no config {name!r}, neither a file nor one of nda_mm's recipes: "
        f"{', '.join(known) or 'it was installed without any'}."
    )


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
