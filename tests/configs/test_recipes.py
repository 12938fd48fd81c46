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


@pytest.mark.parametrize("name", [path.stem for path in RECIPES if path not in [nda for _, nda in PAIRS]])
def test_every_recipe_builds(name: str, build: Any) -> None:
    """Those with negatives differ by these alone, see below."""
    config, model = build(name)
    check_config(config)
    assert sum(parameter.numel() for parameter in model.parameters()) > 1000
    registries = [each for each in vars(registry).values() if isinstance(each, Registry) and each.scope == "nda_mm"]
    named = {each.removeprefix("nda_mm.") for each in components(config.to_dict())}
    assert named
    assert [each for each in named if all(one.get(each) is None for one in registries)] == []


@pytest.mark.parametrize(("plain", "nda"), PAIRS, ids=lambda path: path.stem)
def test_a_pair_differs_by_its_negatives_alone(plain: Path, nda: Path) -> None:
    plain_cfg, nda_cfg = Config.fromfile(plain).to_dict(), Config.fromfile(nda).to_dict()
    kind = plain_cfg["model"]["type"]
    if kind in ("MoCo", "ImageClassifier"):
        hooks = nda_cfg.pop("custom_hooks")
        added = hooks.pop()
        assert added.pop("type") == ("nda_mm.NDAContrastHook" if kind == "MoCo" else "nda_mm.NDAOutlierExposureHook")
        negative = build_negative(added.pop("negative"))
        assert added == (dict(similarity_scale=2.0) if isinstance(negative, Patches) else {})
        assert hooks == plain_cfg.pop("custom_hooks", [])
    else:
        assert build_negative(nda_cfg["model"].pop("negative"))
        assert kind == "nda_mm.DPC" or nda_cfg["model"].pop("fake_weight")
    assert plain_cfg == nda_cfg


def test_the_path_that_the_project_is_known_by() -> None:
    short, recipe = CONFIGS / "nda_biggan_cifar10.py", CONFIGS / "biggan" / "nda_biggan_cifar10.py"
    assert Config.fromfile(short).to_dict() == Config.fromfile(recipe).to_dict()


@pytest.mark.parametrize("folder", sorted({path.parent for path in RECIPES}), ids=lambda folder: folder.name)
def test_readme_and_metafile_list_every_recipe(folder: Path, project_root: Path) -> None:
    index = yaml.safe_load((project_root / "model-index.yml").read_text())
    assert f"configs/{folder.name}/metafile.yml" in index["Import"]
    metafile = yaml.safe_load((folder / "metafile.yml").read_text())
    collections = {each["Name"]: each["README"] for each in metafile["Collections"]}
    assert {each["Config"] for each in metafile["Models"]} == {
        str(path.relative_to(project_root)) for path in folder.glob("*.py")
    }
    for model in metafile["Models"]:
        assert model["Name"] == Path(model["Config"]).stem
        assert collections[model["In Collection"]] == f"configs/{folder.name}/README.md"
    links = set(re.findall(r"\]\(([^):]+)\)", (folder / "README.md").read_text()))
    assert {path.name for path in folder.glob("*.py")} <= links
    assert [link for link in links if not (folder / link).exists()] == []
