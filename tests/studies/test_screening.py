"""Screenings: which runs are started, and what the report says; a real one is in tests/tools/test_screen.py."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import scipy.stats

pytest.importorskip("mmagic")
pytest.importorskip("sklearn")

from nda_mm.evaluation.audit import NegativeAudit
from nda_mm.evaluation.audit_inputs import config_images
from nda_mm.negatives import Jigsaw
from nda_mm.studies.screening import PLAIN, Screening, read_transform
from nda_mm.studies.screening_report import Audited, Trained, markdown, plot, rank_correlation, write_csv
from nda_mm.studies.training_jobs import resolve
from nda_mm.utils.files import recipe_path

PROJECT = Path(__file__).resolve().parents[2]

#: Stands for tools/train.py: reads the lines of an arm and logs, as mmengine does, a distance that follows from them.
FAKE_TRAINER = """
import json, pathlib, sys
arm, folder, seed = {}, pathlib.Path(sys.argv[3]), int(sys.argv[5])
exec(pathlib.Path(sys.argv[1]).read_text(), arm)
negative, hooks = arm["model"]["negative"], arm.get("custom_hooks", [])
value = 10 * (seed + 1)
if negative:
    value += dict(Jigsaw=-1.0, Stitch=-2.0, Cutout=3.0)[negative["type"]] * arm["model"].get("fake_weight", 0.5)
value += 50 * sum(hook["type"] == "nda_mm.PositiveTransformHook" for hook in hooks)
log = folder / "20260101_000000" / "vis_data"
log.mkdir(parents=True)
lines = [{"step": 1, "net/frechet": 99.0, "net/other": 1.0}, {"step": 2, "net/frechet": value, "net/other": -value}]
(log / "scalars.json").write_text("\\n".join(map(json.dumps, lines)))
"""


def screening(folder: Path, recipe: str = "nda_biggan_digits", **settings: Any) -> Screening:
    defaults: dict[str, Any] = dict(
        transforms=["jigsaw", "stitch"],
        seeds=[0, 1],
        train_command=[sys.executable, "-c", FAKE_TRAINER],
        audit_images=128,
    )
    return Screening(str(recipe_path(f"{recipe}.py")), folder=folder, **{**defaults, **settings})


class TestArms:
    @pytest.mark.parametrize("recipe", ["biggan_digits", "nda_biggan_digits"])
    def test_each_is_the_recipe_with_one_thing_changed(self, recipe: str, tmp_path: Path) -> None:
        base = resolve(str(recipe_path(f"{recipe}.py")), []).to_dict()
        study = screening(tmp_path, recipe, transforms=["dict(type='Jigsaw', grid=4)", "stitch"])
        found = {arm.name: resolve(str(tmp_path / "recipes" / f"{arm.name}.py"), []).to_dict() for arm in study.arms}
        jigsaw = dict(type="Jigsaw", grid=4)
        assert list(found) == [
            PLAIN,
            "negative_jigsaw_grid_4",
            "positive_jigsaw_grid_4",
            "negative_stitch",
            "positive_stitch",
        ]
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
        weights = {
            arm.name: resolve(str(tmp_path / "recipes" / f"{arm.name}.py"), []).model.get("fake_weight")
            for arm in study.arms
        }
        assert weights == {
            PLAIN: 0.5,  # the recipe's own, which says nothing without negatives
            "negative_jigsaw_grid_2_0.25": 0.25,
            "negative_jigsaw_grid_2_0.5": 0.5,
            "positive_jigsaw_grid_2": 0.5,
        }
        assert [arm.side for arm in screening(tmp_path / "b", sides=["positive"]).arms] == ["", "positive", "positive"]

    def test_names_are_read_in_any_case(self) -> None:
        assert read_transform("cutmix") == read_transform("nda_mm.CutMix") == dict(type="CutMix")
        with pytest.raises(ValueError, match=r"no negative is registered as 'jigsow'; there are: .*Jigsaw"):
            read_transform("jigsow")

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (dict(sides=["both"]), r"sides must be of negative, positive, but got \['both'\]"),
            (dict(recipe="moco_digits"), r"moco_digits.py trains 'MoCo'; the screening needs a GAN"),
            (dict(recipe="biggan_digits", transforms=None), "has no negative of its own; name the transforms"),
            (dict(transforms=["jigsaw", "Jigsaw"]), r"must be given and differ, but got \['jigsaw', 'Jigsaw'\]"),
            (dict(transforms=["dict(type='jigsaw', grid=1)"]), "grid"),
            (dict(fake_weights=[1.5]), "fake_weight"),
            (dict(fake_weights=[1.0]), "at a fake_weight of 1 there are no negatives"),
        ],
    )
    def test_bad_use_is_refused(self, settings: dict, message: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=message):
            screening(tmp_path, **settings)


class TestReport:
    @pytest.mark.slow  # a dozen processes
    def test_a_screening_is_trained_once_resumed_and_reported(self, tmp_path: Path, capsys: Any) -> None:
        study = screening(tmp_path)
        assert study.train(jobs=2) == []
        text = study.report(["net/frechet"])
        assert (tmp_path / "screening.md").read_text() == text
        rows = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if line.startswith("| ")}
        # 10 and 20 plain, half of -1 and -2 better as negatives (the recipe's weight), 50 worse as positives
        assert "Plain: 15 (sd 7.1)." in text
        assert rows["Jigsaw"].endswith("| 14.5 (sd 7.1) [-0.5, -0.5 to -0.5] | 65 (sd 7.1) [+50, +50 to +50] |")
        assert "| 14 (sd 7.1) [-1, -1 to -1] |" in rows["Stitch"]
        assert "net/other" not in text
        with (tmp_path / "screening.csv").open() as file:
            values = list(csv.DictReader(file))
        assert len(values) == 5 * 2
        assert [row["value"] for row in values if row["side"] == "positive" and row["transform"] == "Jigsaw"] == [
            "60.0",
            "70.0",
        ]
        assert (tmp_path / "screening.png").stat().st_size > 1000

        capsys.readouterr()
        more = screening(tmp_path, transforms=["jigsaw", "stitch", "cutout"])
        assert more.train() == []
        assert "jigsaw" not in capsys.readouterr().out  # kept
        text = more.report()
        assert "| Cutout |" in text and "## net/other" in text
        kept = json.loads((tmp_path / "audit.json").read_text())["transforms"]
        correlation = scipy.stats.spearmanr(
            [kept[name]["separability"] for name in ("Jigsaw", "Stitch", "Cutout")], [-0.5, -1.0, 1.5]
        ).statistic
        assert f"as negative: {correlation:+.2f} over 3 arms" in text

    def test_the_verdict_is_that_of_the_audit(self, tmp_path: Path) -> None:
        study = screening(tmp_path, transforms=["jigsaw"])
        report = NegativeAudit(config_images(study.config, count=128)).measure("Jigsaw", Jigsaw())
        expected = Audited(report.verdict, report.separability.value)
        assert study.audit() == dict(Jigsaw=expected)
        assert str(expected) == f"{report.verdict}, {report.separability.value:.3f}"
        (tmp_path / "audit.json").write_text((tmp_path / "audit.json").read_text().replace(report.verdict, "kept"))
        assert study.audit()["Jigsaw"].verdict == "kept"
        assert screening(tmp_path, transforms=["jigsaw"], audit_images=100).audit()["Jigsaw"].verdict != "kept"

    def test_points_are_not_audited(self, tmp_path: Path, capsys: Any) -> None:
        study = screening(tmp_path, "nda_toy_gaussians", transforms=None, sides=["negative"])
        (verdict,) = study.audit().values()
        assert str(verdict) == "not audited"
        assert "no audit: " in capsys.readouterr().err
        assert not (tmp_path / "audit.json").exists()

    def test_nothing_is_reported_of_unfinished_arms(self, tmp_path: Path) -> None:
        study = screening(tmp_path, train_command=[sys.executable, "-c", "raise SystemExit(3)"], seeds=[0])
        assert len(study.train()) == 5
        with pytest.raises(ValueError, match="no seed has finished runs of all recipes"):
            study.report()

    def test_one_seed_has_no_interval_and_a_side_that_was_not_run_is_said(self, tmp_path: Path) -> None:
        rows = [
            Trained("", "", None, "m", (2.0,), (2.0,)),
            Trained("A", "negative", 0.25, "m", (1.5,), (2.0,)),
            Trained("A", "negative", 0.5, "m", (1.0,), (2.0,)),
        ]
        audited = dict(A=Audited("safe", 0.987))
        text = markdown(rows, audited, [7], "recipe")
        assert "| A, fake_weight 0.25 | safe, 0.987 | 1.5 [-0.5] | not run |" in text
        assert "Rank correlation" not in text
        plot(tmp_path / "p.png", rows, audited)
        write_csv(tmp_path / "v.csv", rows, audited, [7])
        assert (tmp_path / "v.csv").read_text().splitlines()[2] == "A,negative,0.25,m,7,1.5,2.0,safe,0.987"

    def test_rank_correlation_is_not_defined_for_few_equal_or_unknown_values(self) -> None:
        assert rank_correlation([3, 1, 2], [-6, -1, -3]) == pytest.approx(-1.0)
        for first, second in (([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([math.nan, 1, 2], [1, 2, 3])):
            assert math.isnan(rank_correlation(first, second))
