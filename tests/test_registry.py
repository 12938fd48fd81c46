"""Components are found by their names, and bring no module but their own."""

from __future__ import annotations

import pytest

from nda_mm.compat import lazy
from nda_mm.registry import LazyRegistry


def test_a_name_imports_the_module_of_its_component_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = LazyRegistry("tried", scope="nda_mm", locations=["nda_mm.models"])
    imported: list[str] = []

    def record(module: str) -> bool:
        imported.append(module)
        registry.register_module(name="NDABigGAN", module=type("Built", (), {}), force=True)
        return True

    monkeypatch.setattr(lazy, "import_guarded", record)
    for _ in range(2):
        assert registry.get("nda_mm.NDABigGAN").__name__ == "Built"
    assert imported == ["nda_mm.models.gans.conditional"]


def test_what_is_registered_elsewhere_is_found_by_importing_all_locations() -> None:
    registry = LazyRegistry("tried", scope="nda_mm", locations=["nda_mm.negatives"])
    registry.register_module(name="Known", module=dict)
    assert registry.get("Known") is dict
    assert registry.get("Unknown") is None
