"""What the tests of detection sets share."""

from __future__ import annotations

import pytest


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the checks of boxes warn of."""
    logged: list[str] = []
    monkeypatch.setattr("nda_mm.datasets.boxes.checks.print_log", lambda text, *_: logged.append(text))
    return logged
