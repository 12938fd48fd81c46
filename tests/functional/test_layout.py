"""The one view of all batches, and the choice between candidates."""

import pytest
import torch

from nda_mm.functional.layout import is_channels_last, laid_out_as, select_samples, spatial_view

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 6, 4, 5)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_view_shares_memory_and_comes_back(shape, channels_last):
    x = torch.rand(shape)
    if channels_last:
        x = x.contiguous(memory_format=FORMATS[x.ndim])
    view, restore = spatial_view(x)
    back = restore(view)
    assert view.is_contiguous()
    assert view.data_ptr() == x.data_ptr() == back.data_ptr()
    assert torch.equal(back, x)
    assert back.stride() == x.stride()
    assert view.shape == (
        (2, x.shape[2] if x.ndim == 5 else 1, 4, 5, 3) if channels_last else (2, x[0, ..., 0, 0].numel(), 4, 5, 1)
    )
    place = (1, ..., 2, 3)
    assert sorted(view[1, :, 2, 3].flatten().tolist()) == sorted(x[place].flatten().tolist())


def test_other_layouts_are_made_contiguous():
    x = torch.rand(5, 4, 3, 2).permute(3, 2, 1, 0)
    view, restore = spatial_view(x)
    assert torch.equal(restore(view), x)
    assert restore(view).is_contiguous()


def test_one_channel_counts_as_contiguous():
    assert not is_channels_last(torch.rand(2, 1, 4, 4).contiguous(memory_format=torch.channels_last))


def test_partners_are_laid_out_as_their_batch():
    x, other = torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last), torch.rand(2, 3, 4, 4)
    assert laid_out_as(other, x).stride() == x.stride()
    assert laid_out_as(x, other).is_contiguous()
    assert laid_out_as(other, other) is other


def test_select_takes_each_sample_from_its_candidate():
    candidates = [
        torch.full((3, 2, 2, 2), float(number)).contiguous(memory_format=torch.channels_last) for number in range(3)
    ]
    chosen = select_samples(candidates, torch.tensor([2, 0, 1]))
    assert chosen.mean((1, 2, 3)).tolist() == [2, 0, 1]
    assert is_channels_last(chosen)
