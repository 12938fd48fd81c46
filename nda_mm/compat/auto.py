"""Apply all patches on import, for runs that use no component of this package.

Framework notices that users cannot act on are silenced too (:mod:`nda_mm.compat.notices`).

To run a framework's own ``tools/train.py``, for a baseline or a converted backbone, add one line to the config::

    custom_imports = dict(imports=['nda_mm.compat.auto'])

This import happens after the config is read and after the tool's own imports. If the tool fails before that (mmagic's
on numpy 2, or any at ``_base_ = 'nda_mm::...'``, which mmengine alone does not know), start it through this module::

    python -m nda_mm.compat.auto tools/train.py CONFIG
    torchrun --nproc_per_node=8 -m nda_mm.compat.auto tools/train.py CONFIG --launcher pytorch

In your own code, ``import nda_mm.compat.auto`` before importing any framework.
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
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)  # as for a script that is started directly
    runpy.run_path(sys.argv[0], run_name="__main__")
