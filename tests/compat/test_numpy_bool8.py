"""mmagic under a numpy that has no ``bool8``."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from nda_mm.compat.mend import host_file
from nda_mm.compat.numpy_bool8 import NumpyBool8

#: numpy 2 as far as this fault goes: numpy 1 serves its retired names by the module's __getattr__.
LIKE_NUMPY_2 = (
    "import numpy\n"
    "def no_retired_names(name):\n"
    "    raise AttributeError(f'module {numpy.__name__!r} has no attribute {name!r}')\n"
    "if int(numpy.__version__.split('.')[0]) < 2:\n"
    "    served = numpy.__getattr__\n"
    "    numpy.__getattr__ = lambda name: no_retired_names(name) if name == 'bool8' else served(name)\n"
)
needs_faulty_mmagic = pytest.mark.skipif(
    "np.bool8" not in (path.read_text() if (path := host_file("mmagic", "utils/trans_utils.py")) else ""),
    reason="needs an mmagic that names np.bool8",
)


def run_fresh(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)


@needs_faulty_mmagic
def test_needed_exactly_where_numpy_lacks_the_name() -> None:
    code = (
        "from nda_mm.compat.numpy_bool8 import NumpyBool8; mend = NumpyBool8()\n"
        "print(mend.needed()); mend.apply(); print(mend.needed(), numpy.bool8 is numpy.bool_)"
    )
    assert run_fresh(LIKE_NUMPY_2 + code).stdout.split() == ["True", "False", "True"]
    if int(np.__version__.split(".")[0]) < 2:
        assert not NumpyBool8().needed()


def test_not_needed_without_mmagic() -> None:
    code = (
        "import sys; sys.modules['mmagic'] = None\n"
        "from nda_mm.compat.numpy_bool8 import NumpyBool8; print(NumpyBool8().needed())"
    )
    assert run_fresh(LIKE_NUMPY_2 + code).stdout.strip() == "False"


@pytest.mark.slow
@needs_faulty_mmagic
def test_the_installed_mmagic_imports() -> None:
    """The real host: it fails without the mend, and its GANs are there with it."""
    assert "has no attribute 'bool8'" in run_fresh(LIKE_NUMPY_2 + "import mmagic.models").stderr
    code = (
        "from nda_mm.compat import apply_mends; print(apply_mends('mmagic'))\n"
        "import mmagic.models; from mmagic.registry import MODELS; print('BigGAN' in MODELS.module_dict)"
    )
    result = run_fresh(LIKE_NUMPY_2 + code)
    assert "numpy-bool8" in result.stdout, result.stderr
    assert result.stdout.strip().endswith("True"), result.stderr
