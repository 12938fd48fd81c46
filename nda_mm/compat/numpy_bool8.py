"""mmagic names ``numpy.bool8``, which numpy 2 no longer has."""

from __future__ import annotations

import warnings

from .mend import Mend, host_file


class NumpyBool8(Mend):
    """Give numpy 2 the old name of ``numpy.bool_`` back, which mmagic looks up while it is imported.

    An alias in numpy, not an edit of mmagic: the lookup happens once, in a table at the top of a module.
    """

    name = "numpy-bool8"
    host = "mmagic"
    reason = "AttributeError: module 'numpy' has no attribute 'bool8', at `import mmagic.models`"
    versions = "mmagic <= 1.2.0 with numpy >= 2"

    def needed(self) -> bool:
        import numpy as np

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy 1 still serves the name, with a deprecation warning
            if hasattr(np, "bool8"):
                return False
        source = host_file("mmagic", "utils/trans_utils.py")
        return source is not None and "np.bool8" in source.read_text(encoding="utf-8")

    def apply(self) -> None:
        import numpy as np

        np.bool8 = np.bool_  # type: ignore[attr-defined]
