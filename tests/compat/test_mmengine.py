"""Patches of mmengine, each in processes of its own, since a patch stays once it is applied."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from nda_mm.compat import apply_patches
from nda_mm.compat.mmengine import ExternalConfigs
from nda_mm.utils.files import recipe_path

on_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the Runner starts its own process group")


#: A run whose ranks see different data, so that their weights agree only if gradients are exchanged, with a layer that
#: has no CPU form.
PROGRAM = """
import os, sys, time, torch
from mmengine.dist import all_gather
from mmengine.model import BaseModel
from mmengine.runner import Runner
from nda_mm.compat import apply_patches, start_process_group

class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.norm = torch.nn.SyncBatchNorm(1, affine=False)
    def forward(self, inputs, mode="tensor"):
        inputs = torch.stack(inputs)
        return dict(loss=(inputs.mean() * self.weight - 1).square().sum() + 0 * self.norm(inputs).sum())

if sys.argv[1] == "patched":
    apply_patches("mmengine")
if sys.argv[1] != "plain":
    print("started", start_process_group({launcher!r}))
runner = Runner(
    model=Line(), work_dir={work_dir!r}, launcher={launcher!r}, log_level="ERROR",
    train_dataloader=dict(dataset=[dict(inputs=torch.full((1,), float(i))) for i in range(4)],
                          sampler=dict(type="DefaultSampler", shuffle=False), batch_size=2),
    optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)), train_cfg=dict(by_epoch=True, max_epochs=1),
    experiment_name="cpu-distributed",
)
runner.train()
print("weights", [round(w.item(), 6) for w in all_gather(runner.model.module.weight.detach())])
torch.distributed.barrier()
time.sleep(0.2)  # see nda_mm.engine.launch.end_processes
torch.distributed.destroy_process_group()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_two(program: str, argument: str, names: tuple[str, str, str]) -> list[subprocess.CompletedProcess[str]]:
    """Start two processes with a launcher's variables, and wait for both."""
    base = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        base.pop(name, None)
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program, argument],
            env=base | dict(zip(names, (str(rank), "2", str(rank)), strict=True)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    return [subprocess.CompletedProcess(process.args, process.wait(), *process.communicate()) for process in started]


TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
OPENMPI = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK")


@on_cpu
@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "names"), [("pytorch", TORCHRUN), ("mpi", OPENMPI)])
def test_two_ranks_train_together(tmp_path: Path, launcher: str, names: tuple[str, str, str]) -> None:
    results = run_two(PROGRAM.format(launcher=launcher, work_dir=str(tmp_path)), "patched", names)
    assert [result.returncode for result in results] == [0, 0], results[0].stderr
    # Ranks see items {0, 2} and {1, 3}: inputs of mean 1 and 2. From weight 0 the loss (m w - 1)^2 has slope -2 m, so
    # the averaged gradient is -3, and one step of 0.1 leads to 0.3 on both.
    assert ["weights [0.3, 0.3]" in result.stdout for result in results] == [True, True]
    assert ["started True" in result.stdout for result in results] == [True, True]


@on_cpu
@pytest.mark.slow
@pytest.mark.parametrize(("argument", "fault"), [("plain", "set_device"), ("group", "SyncBatchNorm")])
def test_the_faults_are_there_without_it(tmp_path: Path, argument: str, fault: str) -> None:
    results = run_two(PROGRAM.format(launcher="pytorch", work_dir=str(tmp_path)), argument, TORCHRUN)
    assert all(result.returncode != 0 for result in results)
    assert fault in results[0].stderr


COLLATE = """
from mmengine.runner import Runner
from nda_mm.compat.mmengine import CollateScope

loader = dict(
    dataset=[0, 1],
    batch_size=2,
    sampler=dict(type="DefaultSampler", shuffle=False, _scope_="mmpretrain"),
    collate_fn=dict(type="default_collate", _scope_="mmpretrain"),
)

def read():
    return next(iter(Runner.build_dataloader(loader, seed=0))).tolist()

patch = CollateScope()
try:
    read()
except TypeError as error:
    print("fault:", error)
print(patch.needed()); patch.apply(); print(patch.needed()); patch.apply()
print(read(), "_scope_" in loader["collate_fn"])
"""


@pytest.mark.slow
def test_a_scope_is_no_argument_of_the_collate_function(run_fresh) -> None:
    done = run_fresh(COLLATE)
    assert done.stdout.splitlines() == [
        "fault: default_collate() got an unexpected keyword argument '_scope_'",
        "True",
        "False",
        "[0, 1] True",  # the config that was given is left as it was
    ], done.stderr


#: The formatter gets the signal in its midst.
CONFIG_TEXT = """
import os, signal, sys
import mmengine.config.config as module
from mmengine.config import Config
from nda_mm.compat.mmengine import ConfigText

config = Config(dict(a=1, b=dict(c=[2, 3])))
whole = config.pretty_text
patch = ConfigText()
print(patch.needed()); patch.apply(); print(patch.needed()); patch.apply()
assert config.pretty_text == whole == config.dump()
config.dump("config.py")
assert open("config.py").read() == whole
config.dump("config.json")
assert Config.fromfile("config.json").b.c == [2, 3]

def interrupted(text, **kwargs):
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    return text, True

module.FormatCode = interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in a shell's background starts without
signal.signal(signal.SIGTERM, lambda *args: sys.exit(143))
Config(dict(a=2)).dump(sys.argv[2])
"""


def test_an_interrupt_ends_the_process_as_one_and_leaves_the_file_as_it_was(tmp_path: Path, run_fresh) -> None:
    done = run_fresh(CONFIG_TEXT, "SIGINT", "config.py")
    assert done.stdout.splitlines() == ["True", "False"], done.stderr
    assert done.returncode == -2, done.stderr  # a shell's 130
    assert "SyntaxError" not in done.stderr and "KeyboardInterrupt" in done.stderr
    assert "a = 1" in (tmp_path / "config.py").read_text()
    assert run_fresh(CONFIG_TEXT, "SIGTERM", "new.py").returncode == 143
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "config.py"]


#: A wrapped model of two trainable parts and one without parameters, as a GAN with its data preprocessor is.
SEPARATE = """
import torch
from torch import distributed, nn
from mmengine.model import MMSeparateDistributedDataParallel
from nda_mm.compat.mmengine import SeparateDDPNoSync

distributed.init_process_group("gloo", init_method="file://{file}", rank=0, world_size=1)
parts = nn.ModuleDict(dict(generator=nn.Linear(1, 1), discriminator=nn.Linear(1, 1), preprocessor=nn.Identity()))
model = MMSeparateDistributedDataParallel(parts, device_ids=None)
patch = SeparateDDPNoSync()

def syncing():
    return [model.module[name].require_backward_grad_sync for name in ("generator", "discriminator")]
try:
    with model.no_sync():
        pass
except (RuntimeError, AttributeError) as error:
    print("fault:", error)
print(patch.needed()); patch.apply(); print(patch.needed())
with model.no_sync():
    print(syncing())
print(syncing())
try:
    with model.no_sync():
        raise KeyError("from inside")
except KeyError as error:
    print(error, syncing())
"""


@pytest.mark.slow
def test_gradients_of_separately_wrapped_parts_can_be_held_back(tmp_path: Path, run_fresh) -> None:
    code = SEPARATE.format(file=tmp_path / "group") + "\ndistributed.destroy_process_group()"
    done = run_fresh(code)
    assert done.stdout.strip().splitlines() == [
        "fault: generator didn't stop",
        "True",
        "False",
        "[False, False]",  # inside, neither part exchanges gradients
        "[True, True]",  # afterwards both do
        "'from inside' [True, True]",  # also when something went wrong inside
    ], done.stderr


RECIPE = "biggan_cifar10.py"


def test_the_fault_is_there_without_the_patch(tmp_path: Path, run_fresh) -> None:
    (tmp_path / "mine.py").write_text(f"_base_ = 'nda_mm::{RECIPE}'\n")
    result = run_fresh(
        "from mmengine.config import Config\n"
        "try:\n    Config.fromfile('mine.py')\n"
        "except (AssertionError, ValueError) as error:\n    print('fault')\n"
        "from nda_mm.compat import apply_patches; print('external-configs' in apply_patches())\n"
        "Config.fromfile('mine.py'); print('inherited')"
    )
    assert result.stdout.splitlines() == ["fault", "True", "inherited"], result.stderr


def test_what_is_inherited_is_the_recipe_and_may_be_changed(tmp_path: Path, project_root: Path) -> None:
    apply_patches()
    assert not ExternalConfigs().needed()
    config = tmp_path / "mine.py"
    config.write_text(f"_base_ = ['nda_mm::{RECIPE}']\ntrain_cfg = dict(max_iters=7)\n")
    mine, recipe = Config.fromfile(config), Config.fromfile(recipe_path(RECIPE))
    assert mine.train_cfg.max_iters == 7
    recipe.train_cfg.max_iters = 7
    assert mine.to_dict() == recipe.to_dict()


def test_the_names_of_other_packages_still_go_to_mmengine(tmp_path: Path) -> None:
    pytest.importorskip("mmpretrain")
    apply_patches()
    config = tmp_path / "mine.py"
    config.write_text("_base_ = 'mmpretrain::_base_/schedules/imagenet_bs256.py'\n")
    assert Config.fromfile(config).train_cfg.by_epoch is True
