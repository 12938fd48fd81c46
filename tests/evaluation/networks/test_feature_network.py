"""Networks by name: torchvision's against its own forward pass, Inception against mmagic's FID and score."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nda_mm.compat import apply_patches
from nda_mm.evaluation import FeatureStatistics, classifier_score, frechet_distance
from nda_mm.evaluation.networks import build_feature_network

apply_patches()


def test_torchvision_network(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(0)
    reference = resnet18(num_classes=7).eval()
    torch.save(reference.state_dict(), tmp_path / "r18.pth")
    cfg = dict(type="torchvision", model="resnet18", checkpoint=str(tmp_path / "r18.pth"), size=None)
    network = build_feature_network(cfg)
    images = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        normalized = (images / 255 - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
        expected = reference(normalized).softmax(1)
        reference.fc = nn.Identity()
        features = reference(normalized)
    torch.testing.assert_close(network(images).features, features)
    torch.testing.assert_close(network(images).probabilities, expected)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.train().model.training
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        build_feature_network({**cfg, "checkpoint": "absent.pth"})
    with pytest.raises(ValueError, match="resnet34"):
        build_feature_network({**cfg, "model": "resnet34"})


class ScriptedInception(nn.Module):
    """Has the call signature of the Inception file, which cannot be downloaded here, and other weights."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 10)

    def forward(self, x: Tensor, return_features: bool = False, no_output_bias: bool = False) -> Tensor:
        features = nn.functional.adaptive_avg_pool2d(x.float(), 2).flatten(1)
        if return_features:
            return features
        return (features @ self.linear.weight.T / 100).softmax(1)


@pytest.mark.slow
def test_inception_equals_mmagics_own_fid_and_score(tmp_path):
    pytest.importorskip("mmagic.models")
    from mmagic.evaluation.metrics import FrechetInceptionDistance, InceptionScore

    path = str(tmp_path / "inception-2015-12-05.pt")
    torch.jit.script(ScriptedInception()).save(path)
    network = build_feature_network(dict(type="inception", path=path))
    assert (network.distance_name, network.kernel_name, network.score_name) == ("fid", "kid", "is")
    real, fake = torch.randint(0, 256, (2, 100, 3, 32, 32), dtype=torch.uint8).unbind()
    found, found_real = network(fake), network(real)

    settings = dict(fake_nums=100, inception_path=path, sample_model="ema")
    fid, score = FrechetInceptionDistance(**settings), InceptionScore(**settings)
    batch = [dict(ema=dict(fake_img=image.flip(0).float())) for image in fake]
    with torch.no_grad():  # as in mmagic's loop
        fid.process({}, batch)
        score.process({}, batch)
    host_real = fid.forward_inception(real.flip(1)).detach().double()
    fid.real_mean, fid.real_cov = host_real.mean(0).numpy(), torch.cov(host_real.T).numpy()
    first, second = (FeatureStatistics().update(each.features) for each in (found_real, found))
    ours = frechet_distance(first.mean, first.covariance, second.mean, second.covariance)
    assert ours == pytest.approx(fid.compute_metrics(fid.fake_results)["fid"], rel=1e-5)
    mean, std = classifier_score(found.probabilities, splits=10)
    host = score.compute_metrics(score.fake_results)
    assert mean == pytest.approx(host["is"], rel=1e-5)
    assert std == pytest.approx(host["is_std"], rel=1e-3)


def test_inception_is_never_downloaded(tmp_path):
    pytest.importorskip("mmagic.models")
    with pytest.raises(FileNotFoundError, match=r"absent\.pt"):
        build_feature_network(dict(type="inception", path=str(tmp_path / "absent.pt")))
    (tmp_path / "broken.pt").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"broken\.pt"):
        build_feature_network(dict(type="inception", path=str(tmp_path / "broken.pt")))
