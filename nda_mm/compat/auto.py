"""Apply every patch when imported, for runs without any component of this package.

The notices of the frameworks that nobody can act on are silenced, too (:mod:`nda_mm.compat.notices`).

A framework's own ``tools/train.py``, for a baseline or a converted backbone, needs one line in its config::

    custom_imports = dict(imports=['nda_mm.compat.auto'])

That line is read after the config and after what the tool itself imports. A tool that fails before (mmagic's on numpy
2, or any at ``_base_ = 'nda_mm::...'``, which mmengine alone does not know) is started through this module::

    python -m nda_mm.compat.auto tools/train.py CONFIG
    torchrun --nproc_per_node=8 -m nda_mm.compat.auto tools/train.py CONFIG --launcher pytorch

In code of your own, ``import nda_mm.compat.auto`` before the first framework.
"""

import runpy
import sys
from pathlib import Path

from nda_mm.compat import apply_patches
from nda_mm.compat.notices import quiet_loggers, silence_warnings

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit()

silence_warnings()
apply_patches()
quiet_loggers()

if __name__ == "__main__":
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)  # as for a script that is started by itself
    runpy.run_path(sys.argv[0], run_name="__main__")
