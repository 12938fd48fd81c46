"""What the documentation shows: commands have the options and recipes that exist, and code runs."""

from __future__ import annotations

import functools
import inspect
import itertools
import re
import shlex
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import DefaultScope, Registry

from nda_mm import registry
from nda_mm.compat import apply_patches
from nda_mm.negatives import build_negative
from nda_mm.utils.files import recipe_path

apply_patches()  # `_base_ = 'nda_mm::...'` is one of them

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "configs").rglob("*.md"),
    *(ROOT / "tools").rglob("*.py"),
]
TOOL = r"tools/(?:analysis_tools/)?\w+\.(?:py|sh)"
#: What a page writes where the reader has a name of their own.
OWN = re.compile(r"[A-Z]+(\.py|\.pth)?$|my[/_]|mine|path/to|runs?/|imported\.pth|downloaded\.pth|/")


def commands(page: Path) -> list[str]:
    """Calls of the project's tools in code blocks, docstrings and inline code, without those that leave words out."""
    text = re.sub(r"\\+\n\s*", " ", page.read_text())
    assigned = re.findall(r'^([A-Z]+)=(?:"([^"]*)"|(\S+))', text, re.MULTILINE)
    variables = {name: quoted or word for name, quoted, word in assigned}
    for _ in range(2):  # a variable may hold others
        text = re.sub(r"\$([A-Z]+)", lambda match: " ".join(variables.get(match[1], match[0]).split()), text)
    fenced = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) if page.suffix == ".md" else [text]
    lines = [line.split(" #")[0] for block in fenced for line in block.splitlines()]
    lines = [line.strip() for line in lines if page.suffix == ".md" or line.startswith("    ")]
    inline = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    calls = [re.sub(r"\s+", " ", call) for call in (*lines, *inline)]
    calls = [call.removeprefix("python ") for call in calls if re.match(rf"(python )?{TOOL} \S", call)]
    return [call for call in calls if not re.search(r"\.\.\.|[{}|>$]|_$", call)]


@functools.cache
def recipe(name: str) -> Config:
    return Config.fromfile(recipe_path(name))


def leads_somewhere(config: Any, path: str) -> bool:
    """Whether an override's path begins in the config."""
    try:
        for part in path.split(".")[:-1][:2]:
            config = config[int(part) if isinstance(config, (list, tuple)) else part]
    except (KeyError, IndexError, TypeError, ValueError):
        return False
    return config is not None


def fault_of(call: str) -> str:
    """What is wrong with a documented command; empty if it works."""
    script, *words = shlex.split(call.replace("--seed N", "--seed 0"))
    name = Path(script).stem
    if not (ROOT / script).is_file():
        return f"there is no {script}"
    if script.endswith(".sh"):
        if name.startswith("dist"):
            name, count = name.removeprefix("dist_"), {"dist_train": 1, "dist_test": 2, "dist_run": 1}[name]
            words = [word for place, word in enumerate(words) if place != count]
        else:
            name, words = "train", [words[2], "--work-dir", *words[3:]]
    try:
        folder = ".".join(Path(script).parent.parts)
        args = import_module(f"{folder}.{name}").parse_args(words)
    except SystemExit:
        return "its options are refused"
    named = [getattr(args, key, None) or [] for key in ("config", "configs", "recipe", "pretrain", "downstream")]
    recipes = [each for value in named for each in ([value] if isinstance(value, str) else value)]
    for each in (each for each in recipes if not OWN.match(each) and "::" not in each):
        try:
            recipe_path(each)
        except FileNotFoundError:
            return f"there is no recipe {each}"
        options = [] if "tools/" in each else getattr(args, "cfg_options", None) or []
        wrong = [word for word in options if not leads_somewhere(recipe(each), word.split("=")[0])]
        if wrong:
            return f"{each} has no {', '.join(wrong)}"
    checkpoint = re.fullmatch(r"work_dirs/(\w+)/(iter|epoch)_(\d+)\.pth", str(getattr(args, "checkpoint", "") or ""))
    if checkpoint and int(checkpoint[3]) != recipe(checkpoint[1]).train_cfg[f"max_{checkpoint[2]}s"]:
        return f"{checkpoint[1]} ends with another checkpoint"
    return ""


def test_every_documented_command_is_one_that_works() -> None:
    calls = sorted({(page.relative_to(ROOT).as_posix(), call) for page in PAGES for call in commands(page)})
    assert len(calls) > 100
    faults = [(page, call, fault_of(call)) for page, call in calls]
    assert [each for each in faults if each[2]] == []


def python_blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "guides" / f"{page}.md").read_text(), re.DOTALL)


def test_the_loop_of_ones_own_runs() -> None:
    """Both blocks of the guide, with small networks in the reader's names."""
    unit = functools.partial(torch.nn.functional.normalize, dim=-1)
    names: dict[str, Any] = dict(
        loader=[torch.rand(4, 3, 8, 8)],
        generator=torch.nn.Sequential(torch.nn.Linear(128, 192), torch.nn.Unflatten(1, (3, 8, 8))),
        discriminator=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 1)),
        query=unit(torch.randn(4, 6)),
        key=unit(torch.randn(4, 6)),
        queue=unit(torch.randn(9, 6)).T,
        negative_keys=unit(torch.randn(4, 2, 6)),
    )
    for block in python_blocks("own_loop"):
        exec(block, names)
        assert names["loss"].isfinite()


def test_the_negative_of_ones_own_is_found_by_its_name() -> None:
    exec(python_blocks("extending")[0], {})
    try:
        x = torch.rand(2, 3, 4, 4)
        assert torch.equal(build_negative(dict(type="UpsideDown"))(x), x.flip(-2))
    finally:
        registry.NEGATIVES.module_dict.pop("UpsideDown")


@pytest.mark.parametrize("block", [each for each in python_blocks("existing_projects") if "_base_" in each])
def test_the_lines_for_an_existing_project_build(block: str, tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(block)
    config = Config.fromfile(tmp_path / "config.py")
    with DefaultScope.overwrite_default_scope(config.default_scope):
        for hook in config.get("custom_hooks", []):
            if hook.type.startswith("nda_mm."):
                MMENGINE_HOOKS.build(hook)
        if "negative" in config.model:
            build_negative(config.model.negative)


#: Packages of the API reference.
PACKAGES = ("functional", "losses", "negatives", "models", "engine", "evaluation", "datasets", "conversion")


def test_a_registered_class_has_an_example_that_names_what_exists() -> None:
    """Examples with a prompt run as doctests; those of a config are run here, and their types looked up."""
    packages = [import_module(f"nda_mm.{name}") for name in PACKAGES]
    public = {name: getattr(package, name) for package in packages for name in package.__all__}
    registries = [each for each in vars(registry).values() if isinstance(each, Registry) and each.scope == "nda_mm"]
    known = {name for each in registries for name in each.module_dict}
    assert len(known & set(public)) > 60
    for name in known & set(public):
        _, _, example = (inspect.getdoc(public[name]) or "").partition("Example:\n")
        assert example, name
        if ">>>" in example:
            continue
        _, _, block = example.partition("::\n\n")
        lines = list(itertools.takewhile(lambda line: not line or line.startswith(" " * 8), block.splitlines()))
        exec(textwrap.dedent("\n".join(lines)), {})
        types = re.findall(r"type=['\"]nda_mm\.(\w+)['\"]", block)
        assert types, name
        assert set(types) <= known, name
