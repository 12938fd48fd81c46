"""Configs become negatives, by name, in any scope."""

import pytest
from mmengine.registry import DefaultScope
from torch import nn

from nda_mm.negatives import Jigsaw, build_negative

CUTOUT = dict(type="Cutout")


@pytest.mark.parametrize("prefix", ["", "nda_mm."])
@pytest.mark.parametrize("scope", ["mmagic", "nda_mm"])
def test_configs_build_by_name_in_any_scope(prefix, scope):
    with DefaultScope.overwrite_default_scope(scope):
        for name in ("Jigsaw", "ShuffleFrames"):
            assert type(build_negative(dict(type=prefix + name))).__name__ == name
        nested = build_negative(dict(type=f"{prefix}RandomNegative", negatives=[dict(type=f"{prefix}Jigsaw"), CUTOUT]))
    assert [type(part).__name__ for part in nested.parts()] == ["Jigsaw", "Cutout"]


def test_a_negative_is_taken_as_it_is_and_a_config_is_left_alone():
    negative, config = Jigsaw(), dict(type=Jigsaw, grid=4)
    assert build_negative(negative) is negative
    assert build_negative(config).grid == (4, 4)
    assert config == dict(type=Jigsaw, grid=4)


def test_unknown_kinds_are_refused_by_name():
    with pytest.raises(KeyError, match="'Jigsow'.*Jigsaw"):
        build_negative(dict(type="Jigsow"))
    with pytest.raises(TypeError, match="type="):
        build_negative(dict(grid=2))
    with pytest.raises(TypeError, match="Linear"):
        build_negative(dict(type=nn.Linear, in_features=1, out_features=1))
