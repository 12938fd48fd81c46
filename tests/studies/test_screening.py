"""Screenings: which runs are started, and what the report says; a real one is in tests/tools/test_screen.py."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_jobs import FAILS

pytest.importorskip("mmagic")
pytest.importorskip("sklearn")

from nda_mm.evaluation.audit import NegativeAudit
from nda_mm.evaluation.audit_inputs import config_images
from nda_mm.negatives import Jigsaw
from nda_mm.studies import screening as module
from nda_mm.studies.jobs import resolve
from nda_mm.studies.screening import PLAIN, Arm, Screening
from nda_mm.utils.files import recipe_path


def screening(folder: Path, recipe: str = "nda_biggan_digits", **settings: Any) -> Screening:
    defaults: dict[str, Any] = dict(transforms=["jigsaw", "stitch"], seeds=[0], train_command=FAILS, audit_images=128)
    return Screening(str(recipe_path(recipe)), folder=folder, **{**defaults, **settings})


class TestArms:
    @pytest.mark.parametrize("recipe", ["biggan_digits", "nda_biggan_digits"])
    def test_each_is_the_recipe_with_one_thing_changed(self, recipe: str, tmp_path: Path) -> None:
        base = resolve(str(recipe_path(recipe))).to_dict()
        study = screening(tmp_path, recipe, transforms=["dict(type='Jigsaw', grid=4)", "stitch"])
        found = {arm.name: resolve(str(tmp_path / "recipes" / f"{arm.name}.py")).to_dict() for arm in study.arms}
        jigsaw = dict(type="Jigsaw", grid=4)
        assert {name: each["model"]["negative"] for name, each in found.items()} == {
            PLAIN: None,
            "negative_jigsaw_grid_4": jigsaw,
            "positive_jigsaw_grid_4": None,
            "negative_stitch": dict(type="Stitch"),
            "positive_stitch": None,
        }
        hooks = found["positive_jigsaw_grid_4"]["custom_hooks"]
        assert hooks == [*base["custom_hooks"], dict(type="nda_mm.PositiveTransformHook", transform=jigsaw)]
        for name, each in found.items():
            each["model"]["negative"] = base["model"].get("negative")
            if name.startswith("positive"):
                each["custom_hooks"].pop()
            assert each == {**base, "model": {"negative": None, **base["model"]}}

    def test_weights_multiply_the_negative_arms_alone(self, tmp_path: Path) -> None:
        study = screening(tmp_path, transforms=None, fake_weights=[0.25, 0.5, 0.25])
        paths = {arm.name: str(tmp_path / "recipes" / f"{arm.name}.py") for arm in study.arms}
        assert {name: resolve(path).model.get("fake_weight") for name, path in paths.items()} == {
            PLAIN: 0.5,  # the recipe's own, which has no effect without negatives
            "negative_jigsaw_grid_2_0.25": 0.25,
            "negative_jigsaw_grid_2_0.5": 0.5,
            "positive_jigsaw_grid_2": 0.5,
        }
        assert [arm.side for arm in screening(tmp_path / "b", sides=["positive"]).arms] == ["", "positive", "positive"]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (dict(recipe="moco_digits"), "must train a GAN that takes a negative, but .*moco_digits"),
            (dict(recipe="biggan_digits", transforms=None), "has no negative"),
            (dict(transforms=["jigsaw", "Jigsaw"]), "differ"),
            (dict(transforms=["jigsow"]), "Jigsaw"),
            (dict(fake_weights=[1.5]), "fake_weight"),
        ],
    )
    def test_bad_use_is_refused(self, settings: dict, message: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=message):
            screening(tmp_path, **settings)


class TestAudit:
    def test_the_verdict_is_that_of_the_audit_and_kept(self, tmp_path: Path) -> None:
        study = screening(tmp_path, transforms=["jigsaw"])
        report = NegativeAudit(config_images(study.config, count=128)).measure("Jigsaw", Jigsaw())
        assert study.audit() == dict(Jigsaw=(report.verdict, report.separability.value))
        (tmp_path / "audit.json").write_text((tmp_path / "audit.json").read_text().replace(report.verdict, "kept"))
        assert study.audit()["Jigsaw"][0] == "kept"
        assert screening(tmp_path, transforms=["jigsaw"], audit_images=100).audit()["Jigsaw"][0] != "kept"

    def test_points_are_not_audited(self, tmp_path: Path, capsys: Any) -> None:
        study = screening(tmp_path, "nda_toy_gaussians", transforms=None, sides=["negative"])
        ((verdict, separability),) = study.audit().values()
        assert verdict == "not audited" and math.isnan(separability)
        assert "no audit: " in capsys.readouterr().err
        assert not (tmp_path / "audit.json").exists()


def values(*rows: tuple[str, int, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["recipe", "seed", "value"]).assign(metric="frechet", step=2)


class TestReport:
    def test_values_differences_and_correlation(self) -> None:
        arms = [Arm(PLAIN)]
        offsets = {PLAIN: 0.0}
        for name, offset in (("A", -0.5), ("B", -1.0), ("C", 1.5)):
            arms += [Arm(f"negative_{name}", name, "negative"), Arm(f"positive_{name}", name, "positive")]
            offsets.update({f"negative_{name}": offset, f"positive_{name}": 50.0})
        final = values(*((name, seed, 10.0 * (seed + 1) + each) for name, each in offsets.items() for seed in (0, 1)))
        audited = dict(A=("safe", 0.9), B=("safe", 0.8), C=("unsafe", 0.5))
        table = module.table(final, arms, audited)
        text = module.markdown(table, "recipe")
        assert "Plain: 15 (sd 7.1)." in text
        row = "| A | safe, 0.900 | 14.5 (sd 7.1) [-0.5, -0.5 to -0.5] | 65 (sd 7.1) [+50, +50 to +50] |"
        assert row in text.splitlines()
        assert "as negative: -0.50 over 3 arms" in text  # by hand: ranks 3, 2, 1 and 2, 1, 3
        chosen = table[(table["transform"] == "A") & (table["side"] == "positive")]
        assert chosen[["seed", "value", "plain", "verdict", "auroc"]].values.tolist() == [
            [0, 60.0, 10.0, "safe", 0.9],
            [1, 70.0, 20.0, "safe", 0.9],
        ]

    def test_one_seed_has_no_interval_and_a_side_that_was_not_run_is_named(self, tmp_path: Path) -> None:
        arms = [Arm(PLAIN), Arm("a", "A", "negative", fake_weight=0.25), Arm("b", "A", "negative", fake_weight=0.5)]
        final = values((PLAIN, 7, 2.0), ("a", 7, 1.5), ("b", 7, 1.0))
        table = module.table(final, arms, dict(A=("safe", 0.987)))
        text = module.markdown(table, "recipe")
        assert "| A, fake_weight 0.25 | safe, 0.987 | 1.5 [-0.5] | not run |" in text
        assert "Rank correlation" not in text
        module.plot(tmp_path / "a.png", table)
        assert (tmp_path / "a.png").stat().st_size > 1000
