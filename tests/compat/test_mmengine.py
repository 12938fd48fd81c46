"""Patches of mmengine, in a process of their own, since a patch stays once it is applied."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from nda_mm.compat import apply_patches
from nda_mm.compat.mmengine import CollateScope, ExternalConfigs
from nda_mm.registry import DATA_SAMPLERS
from nda_mm.utils.files import recipe_path

#: Each fault, the patch, and that it is gone; at the end an interrupt while a config is formatted.
PATCHES = """
import os, signal, sys
import mmengine.config.config as module
import torch
from mmengine.config import Config
from mmengine.model import MMSeparateDistributedDataParallel
from mmengine.runner import Runner
from nda_mm.compat.mmengine import CollateScope, ConfigText, ExternalConfigs, SeparateDDPNoSync

def check(patch, use):
    try:
        use()
    except Exception as error:
        print(f"{patch.name}: {type(error).__name__}", str(error).split(chr(10))[0])
    needed = patch.needed()
    patch.apply()
    print(f"{patch.name}: {needed} {patch.needed()}")
    patch.apply()
    return use()

loader = dict(
    dataset=[0, 1],
    batch_size=2,
    sampler=dict(type="DefaultSampler", shuffle=False, _scope_="mmpretrain"),
    collate_fn=dict(type="default_collate", _scope_="mmpretrain"),
)
batch = check(CollateScope(), lambda: next(iter(Runner.build_dataloader(loader, seed=0))).tolist())
assert batch == [0, 1] and "_scope_" in loader["collate_fn"]  # the config that was given is left as it was

open("mine.py", "w").write("_base_ = 'nda_mm::biggan_cifar10.py'")
assert check(ExternalConfigs(), lambda: Config.fromfile("mine.py")).default_scope == "mmagic"

# A wrapped model of two trainable parts and one without parameters, as a GAN with its data preprocessor is.
torch.distributed.init_process_group("gloo", init_method="file://" + os.path.abspath("group"), rank=0, world_size=1)
parts = dict(generator=torch.nn.Linear(1, 1), discriminator=torch.nn.Linear(1, 1), preprocessor=torch.nn.Identity())
model = MMSeparateDistributedDataParallel(torch.nn.ModuleDict(parts), device_ids=None)

def syncing():
    return [model.module[name].require_backward_grad_sync for name in ("generator", "discriminator")]

def held_back():
    with model.no_sync():
        inside = syncing()
    assert inside == [False, False]
    try:
        with model.no_sync():
            raise KeyError
    except KeyError:
        return syncing()  # also after something went wrong inside

assert check(SeparateDDPNoSync(), held_back) == [True, True]
torch.distributed.destroy_process_group()

config = Config(dict(a=1, b=dict(c=[2, 3])))
whole = config.pretty_text

def interrupted(text, **kwargs):
    os.kill(os.getpid(), stop)
    return text, True

def stopped():
    with_yapf, module.FormatCode = module.FormatCode, interrupted
    try:
        Config(dict(a=2)).dump("new.py")
    finally:
        module.FormatCode = with_yapf

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in a shell's background starts without
signal.signal(signal.SIGTERM, lambda *args: sys.exit(143))
stop = signal.SIGTERM
try:
    check(ConfigText(), stopped)
except SystemExit as error:
    print("status", error.code)
assert config.pretty_text == whole == config.dump()
config.dump("new.py")
config.dump("new.json")
assert Config.fromfile("new.json").b.c == [2, 3]
stop = signal.SIGINT
stopped()
"""


def test_each_fault_is_there_and_is_gone_with_its_patch(tmp_path: Path, run_fresh) -> None:
    done = run_fresh(PATCHES)
    expected = [
        ("collate-scope: TypeError ", "unexpected keyword argument '_scope_'"),
        ("collate-scope: True False", ""),
        ("external-configs: ", "Error"),
        ("external-configs: True False", ""),
        ("separate-ddp-no-sync: RuntimeError ", "generator didn't stop"),
        ("separate-ddp-no-sync: True False", ""),
        ("config-text: SyntaxError ", ""),
        ("config-text: True False", ""),
        ("status 143", ""),
    ]
    said = done.stdout.strip().splitlines()
    assert len(said) == len(expected), done.stdout + done.stderr
    for line, (start, inside) in zip(said, expected, strict=True):
        assert line.startswith(start) and inside in line
    # The interrupt ends the process as one, and leaves the file as it was.
    assert done.returncode == -2, done.stderr  # a shell's 130
    assert "SyntaxError" not in done.stderr and "KeyboardInterrupt" in done.stderr
    assert "a = 1" in (tmp_path / "new.py").read_text()
    assert not list(tmp_path.glob(".*"))


def test_a_probe_imports_no_package_of_the_default_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which would come before its patches."""
    imported: list[bool] = []
    monkeypatch.setattr(DATA_SAMPLERS, "import_from_location", lambda: imported.append(True))
    with DefaultScope.overwrite_default_scope("nda_mm"):
        CollateScope().needed()
    assert not imported


def test_what_is_inherited_is_the_recipe_and_may_be_changed(tmp_path: Path) -> None:
    apply_patches()
    assert not ExternalConfigs().needed()
    config = tmp_path / "mine.py"
    config.write_text("_base_ = ['nda_mm::biggan_cifar10.py']\ntrain_cfg = dict(max_iters=7)\n")
    mine, recipe = Config.fromfile(config), Config.fromfile(recipe_path("biggan_cifar10.py"))
    assert mine.train_cfg.max_iters == 7
    recipe.train_cfg.max_iters = 7
    assert mine.to_dict() == recipe.to_dict()
