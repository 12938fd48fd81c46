from __future__ import annotations

import pytest

from nda_mm.engine.model_names import check_model_name, gan_names


def test_names_of_other_hosts_and_models_of_ours_pass() -> None:
    pytest.importorskip("mmagic")
    for model in (
        None,
        {},
        dict(type="BigGAN"),
        dict(type="mmagic.BigGAN"),
        dict(type="nda_mm.NDABigGAN"),
        dict(type=int),
    ):
        check_model_name(model)


def test_an_unknown_one_is_answered_with_all_of_ours() -> None:
    pytest.importorskip("mmagic")
    assert {"NDABigGAN", "NDADCGAN", "NDAPGGAN", "NDASNGAN", "NDAStyleGAN2", "NDAWGANGP"} <= set(gan_names())
    with pytest.raises(ValueError, match=r"There is no model 'nda_mm\.NDAStyleGAN4'") as raised:
        check_model_name(dict(type="nda_mm.NDAStyleGAN4"))
    assert all(f"nda_mm.{name}" in str(raised.value) for name in gan_names())


def test_so_is_one_that_looks_like_ours() -> None:
    pytest.importorskip("mmagic")
    with pytest.raises(ValueError, match=r"There is no model 'NDAFunnyGAN'.*nda_mm\.NDABigGAN"):
        check_model_name(dict(type="NDAFunnyGAN"))


def test_a_name_without_the_prefix_is_answered_with_it() -> None:
    pytest.importorskip("mmagic")
    with pytest.raises(ValueError, match=r"'NDABigGAN' lacks the prefix .* write 'nda_mm\.NDABigGAN'"):
        check_model_name(dict(type="NDABigGAN"))
