"""Every recipe that is shipped: it is listed, it builds, and a pair differs by its negatives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from mmengine.config import Config
from mmengine.registry import Registry

from nda_mm import registry
from nda_mm.engine.config_check import check_config
from nda_mm.negatives import Patches, build_negative

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
RECIPES = sorted(CONFIGS.glob("[a-z]*/*.py"))
FOLDERS = sorted({path.parent for path in RECIPES})
#: The hook that brings negatives to a stock model.
HOOKS = {"MoCo": "nda_mm.NDAContrastHook", "ImageClassifier": "nda_mm.NDAOutlierExposureHook"}
#: Each recipe with negatives, and the one that it is a diff of.
PAIRS = [
    (path.parent / re.search(r'^_base_ = "(.+)"$', path.read_text(), re.MULTILINE)[1], path)  # type: ignore[index]
    for path in RECIPES
    if path.name.startswith(("nda_", "ood_nda_"))
]


def components(node: Any) -> list[str]:
    """The names of all components of ours in a config."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ()
    own = [node["type"]] if isinstance(node, dict) and str(node.get("type", "")).startswith("nda_mm.") else []
    return own + [name for child in children for name in components(child)]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_recipe_of_a_folder_builds(folder: Path, build: Any) -> None:
    """Those with negatives differ by these alone, see below."""
    registries = [each for each in vars(registry).values() if isinstance(each, Registry) and each.scope == "nda_mm"]
    for path in sorted(set(folder.glob("*.py")) - {nda for _, nda in PAIRS}):
        config, model = build(path.stem)
        check_config(config)
        assert sum(parameter.numel() for parameter in model.parameters()) > 1000, path
        named = {each.removeprefix("nda_mm.") for each in components(config.to_dict())}
        assert named, path
        unknown = [each for each in named if all(one.get(each) is None for one in registries)]
        assert unknown == [], path


def difference_of(plain: Path, nda: Path) -> str:
    """What a pair differs by besides its negatives; empty if by nothing."""
    check_config(Config.fromfile(nda))
    plain_cfg, nda_cfg = Config.fromfile(plain).to_dict(), Config.fromfile(nda).to_dict()
    kind = plain_cfg["model"]["type"]
    if kind in HOOKS:
        hooks = nda_cfg.pop("custom_hooks")
        added = hooks.pop()
        negative = build_negative(added.pop("negative"))
        if kind == "MoCo" and isinstance(negative, Patches) and added.get("similarity_scale") == 2.0:
            added.pop("similarity_scale")
        if added != dict(type=HOOKS[kind]) or hooks != plain_cfg.pop("custom_hooks", []):
            return f"hooks: {added}, {hooks}"
    else:
        build_negative(nda_cfg["model"].pop("negative"))
        if kind != "nda_mm.DPC":
            nda_cfg["model"].pop("fake_weight")
    return ", ".join(key for key in plain_cfg | nda_cfg if plain_cfg.get(key) != nda_cfg.get(key))


def test_a_pair_differs_by_its_negatives_alone() -> None:
    differences = {nda.stem: difference_of(plain, nda) for plain, nda in PAIRS}
    assert len(differences) > 15
    assert {name: each for name, each in differences.items() if each} == {}


def test_the_path_that_the_project_is_known_by() -> None:
    short, recipe = CONFIGS / "nda_biggan_cifar10.py", CONFIGS / "biggan" / "nda_biggan_cifar10.py"
    assert Config.fromfile(short).to_dict() == Config.fromfile(recipe).to_dict()


def test_readmes_and_metafiles_list_every_recipe(project_root: Path) -> None:
    index = yaml.safe_load((project_root / "model-index.yml").read_text())["Import"]
    assert {f"configs/{folder.name}/metafile.yml" for folder in FOLDERS} <= set(index)
    for folder in FOLDERS:
        metafile = yaml.safe_load((folder / "metafile.yml").read_text())
        collections = {each["Name"]: each["README"] for each in metafile["Collections"]}
        recipes = {path.stem: str(path.relative_to(project_root)) for path in folder.glob("*.py")}
        assert {model["Name"]: model["Config"] for model in metafile["Models"]} == recipes
        readmes = {collections[model["In Collection"]] for model in metafile["Models"]}
        assert readmes == {f"configs/{folder.name}/README.md"}
        links = set(re.findall(r"\]\(([^):]+)\)", (folder / "README.md").read_text()))
        assert {path.name for path in folder.glob("*.py")} <= links, folder
        assert [link for link in links if not (folder / link).exists()] == [], folder
