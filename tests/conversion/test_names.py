"""Names of the hosts against the hosts' own networks."""

from __future__ import annotations

import pytest
import tiny_backbones as tiny

from nda_mm.conversion.resnet import from_plain, host_names, plain_names, to_plain


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("host", tiny.HOSTS)
def test_every_name_of_a_host_is_translated_to_torchvisions_and_back(host, depth):
    theirs = list(tiny.build(host, depth).state_dict())
    plain = [name for name in tiny.build("torchvision", depth).state_dict() if not name.startswith("fc.")]
    theirs = [name for name in theirs if not name.startswith("fc.")]
    assert sorted(map(to_plain, theirs)) == sorted(plain)
    assert sorted(from_plain(name, host) for name in plain) == sorted(theirs)


@pytest.mark.parametrize("pooled", [False, True])
def test_deep_stems_and_pooled_shortcuts_of_mmdet_are_those_of_mmpretrain(pooled):
    mmdet = list(tiny.build("mmdet", 50, deep_stem=True, avg_down=pooled).state_dict())
    mmpretrain = list(tiny.build("mmpretrain", 50, deep_stem=True, avg_down=pooled).state_dict())
    assert sorted(mmdet) != sorted(mmpretrain)
    assert sorted(plain_names(mmdet).values()) == sorted(mmpretrain)
    assert sorted(host_names(mmpretrain, "mmdet").values()) == sorted(mmdet)


@pytest.mark.parametrize("shift_place", ["blockres", "block"])
def test_what_mmaction2_wraps_to_shift_it_in_time_keeps_its_plain_name(shift_place):
    shifted = tiny.build("mmaction2", 18, type="ResNetTSM", shift_place=shift_place).state_dict()
    assert any(".net." in name for name in shifted)
    assert set(map(to_plain, shifted)) == {to_plain(name) for name in tiny.build("mmaction2", 18).state_dict()}
