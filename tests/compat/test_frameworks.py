"""Version windows and remedies."""

from __future__ import annotations

import pytest

from nda_mm.compat import FRAMEWORKS, Framework, find_framework
from nda_mm.compat.frameworks import remedy_for


def test_window() -> None:
    known = Framework("x", "x", ">=2.1.0,<2.2.0", ("x",), "pip install x")
    assert all(map(known.serves, ("2.1.0", "2.1", "2.1.7", "2.1.0+cu130")))
    # A release candidate of the first version that is not served is not served either.
    assert not any(map(known.serves, ("2.10.0", "2.2.0", "2.2.0rc1", "2.0.9")))


@pytest.mark.parametrize(
    ("name", "package"), [("mmaction2", "mmaction"), ("mmcv-lite", "mmcv"), ("onedl-mmdetection", "mmdet")]
)
def test_frameworks_are_found_by_every_name(name, package):
    assert find_framework(name).package == package == find_framework(package).package
    with pytest.raises(ValueError, match="'mmseg'"):
        find_framework("mmseg")


def test_the_installed_versions_lie_in_their_windows() -> None:
    for known in FRAMEWORKS:
        version = known.version()
        assert version is None or known.serves(version), f"{known.distribution} {version} is outside {known.window}"


def test_a_host_without_mmcv_is_sent_to_mmcv() -> None:
    mmagic = find_framework("mmagic")
    assert "nda_mm[gan]" in remedy_for(mmagic, ModuleNotFoundError("No module named 'mmagic'", name="mmagic"))
    for error in (
        ModuleNotFoundError("No module named 'mmcv._ext'", name="mmcv._ext"),
        AssertionError("MMCV==2.2.0 is used but incompatible."),
        ImportError("/lib/mmcv/_ext.cpython-311.so: undefined symbol: _ZN3c105ErrorC2E", name="_ext"),
    ):
        assert "nda_mm[lite]" in remedy_for(mmagic, error)


def test_a_package_is_known_under_its_other_names(tmp_path, monkeypatch):
    known = Framework(
        "x", "x", ">=1.0,<2.0", ("x",), "pip install x", (("x-lite", ">=1.0,<2.0"), ("fork-of-x", ">=3.0"))
    )
    assert (known.distribution, known.version(), known.window) == ("x", None, ">=1.0,<2.0")
    (tmp_path / "fork_of_x-3.1.dist-info").mkdir()
    (tmp_path / "fork_of_x-3.1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: fork-of-x\nVersion: 3.1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert (known.distribution, known.version(), known.window) == ("fork-of-x", "3.1", ">=3.0")
    assert known.serves("3.1") and not known.serves("1.5")
