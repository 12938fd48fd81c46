"""The GAN's benchmarks: which bars are met by which times, and that both commands run."""

from __future__ import annotations

import shlex
import sys

import pytest

pytest.importorskip("mmagic")
import gan_step
import profile_gan


@pytest.mark.parametrize(
    ("over_plain", "authors", "met"),
    [(1.25, None, True), (1.5, None, False), (1.25, 4.0, True), (1.25, 2.0, False), (1.5, 4.0, False)],
)
def test_bars(over_plain, authors, met, capsys):
    """Without negatives a step takes one second; the authors' takes ``authors`` steps of ours with negatives."""
    times = {(name, negatives): over_plain if negatives else 1.0 for name in gan_step.SETTINGS for negatives in (0, 1)}
    if authors is not None:
        times[gan_step.AUTHORS] = authors * over_plain
    assert gan_step.report([times] * 3) is met
    assert ("MISSED" in capsys.readouterr().out) is not met


@pytest.mark.slow
def test_commands_run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for command, words in (
        (gan_step, "gan_step.py --width 1 --batch 2 --rounds 1"),
        (profile_gan, "profile_gan.py toy_gaussians.py --steps 2 --warmup 1 --top 5 --trace trace.json"),
    ):
        monkeypatch.setattr(sys, "argv", shlex.split(words))
        assert command.main() == 0
    said = capsys.readouterr().out
    assert all(name in said for name in gan_step.SETTINGS)
    assert "train_discriminator" in said and "aten::" in said and (tmp_path / "trace.json").is_file()
