"""The scope and the iteration that mmagic's models ask for; helpers are in ``tiny_*.py``, which are not tests."""

import sys
from pathlib import Path

import pytest
from mmengine import MessageHub
from mmengine.registry import DefaultScope

sys.path.insert(0, str(Path(__file__).parent))  # test modules are imported without a package
collect_ignore_glob = ["tiny_*.py"]


@pytest.fixture(autouse=True)
def _mmagic(request: pytest.FixtureRequest) -> None:
    """A scope and a message hub for each test, as a Runner makes them."""
    DefaultScope.get_instance(request.node.nodeid, scope_name="mmagic")
    MessageHub.get_instance(request.node.nodeid).update_info("iter", 0)
