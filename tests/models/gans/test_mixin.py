"""The GAN with negatives, against mmagic's own step and against a step written out by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine import MessageHub
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import DefaultScope
from scipy import stats

pytest.importorskip("mmagic")

from mmagic.models.editors import BigGAN
from mmagic.structures import DataSample

from nda_mm.models import NDABigGAN
from nda_mm.models.gans.networks import _warn_once, mixes_samples
from nda_mm.models.gans.sampling import sample_images
from nda_mm.negatives import Negative

CLASSES, NOISE, BATCH = 10, 16, 6


@pytest.fixture(autouse=True)
def scope():
    DefaultScope.get_instance("test_gan", scope_name="mmagic")
    MessageHub.get_instance("test_gan").update_info("iter", 0)


class MirroredNegative(Negative):
    """Upside down: a negative without draws, so that a test can make the same one."""

    def forward(self, x, *, generator=None):
        return x.flip(-2)


class FlatLabelBigGAN(BigGAN):
    """mmagic's BigGAN, given labels as its discriminator needs them (see TestHostFault)."""

    def data_sample_to_label(self, data_sample):
        return super().data_sample_to_label(data_sample).flatten()


def networks(classes=CLASSES, **discriminator):
    shared = dict(num_classes=classes, base_channels=2, sn_eps=1e-8, sn_style="torch", init_cfg=dict(type="N02"))
    return dict(
        num_classes=classes,
        data_preprocessor=dict(type="DataPreprocessor", output_channel_order="BGR"),
        generator=dict(
            type="BigGANGenerator",
            output_scale=32,
            noise_size=NOISE,
            with_shared_embedding=False,
            split_noise=False,
            auto_sync_bn=False,
            **shared,
        ),
        discriminator=dict(type="BigGANDiscriminator", input_scale=32, **shared) | discriminator,
        ema_config=dict(type="ExponentialMovingAverage", momentum=0.1, start_iter=0),
    )


def build(cls=NDABigGAN, seed=0, classes=CLASSES, sn_style="torch", **settings):
    torch.manual_seed(seed)
    given = networks(classes)
    for part in ("generator", "discriminator"):
        given[part]["sn_style"] = sn_style
    model = cls(**given, **settings)
    model.generator.init_weights()
    model.discriminator.init_weights()
    # The default N(0, 0.02) leaves logits near 0, where a wrong weight hardly shows.
    for parameter in model.discriminator.parameters():
        parameter.data.mul_(20)
    return model


def optimizers(model, accumulative_counts=1):
    def wrap(module):
        optimizer = torch.optim.Adam(module.parameters(), lr=2e-3, betas=(0.0, 0.999))
        return OptimWrapper(optimizer, accumulative_counts=accumulative_counts)

    return OptimWrapperDict(generator=wrap(model.generator), discriminator=wrap(model.discriminator))


def batch(seed=0, count=BATCH, labels=True, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(count):
        sample = DataSample(gt_img=torch.randint(0, 256, (3, 32, 32), generator=draw).to(dtype))
        sample.set_metainfo(dict(gt_channel_order="RGB"))
        if labels:
            sample.set_gt_label(torch.randint(0, CLASSES, (1,), generator=draw))
        samples.append(sample)
    return dict(inputs=[{} for _ in range(count)], data_samples=samples)


def train(model, steps, wrappers=None, seed=7, dtype=torch.float32):
    wrappers = wrappers or optimizers(model)
    torch.manual_seed(seed)
    logs = []
    for step in range(steps):
        MessageHub.get_current_instance().update_info("iter", step)
        logs.append(model.train_step(batch(step, dtype=dtype), wrappers))
    return logs


def differing(a, b, tolerance=0.0):
    a, b = a.state_dict(), b.state_dict()
    return {key for key in a if not torch.allclose(a[key], b[key], rtol=0, atol=tolerance)}


class TestWithoutNegatives:
    @pytest.mark.parametrize("discriminator_steps", [1, 2])
    def test_separate_steps_are_mmagics_own_bit_for_bit(self, discriminator_steps):
        ours = build(discriminator_forward="separate", discriminator_steps=discriminator_steps)
        host = build(FlatLabelBigGAN, discriminator_steps=discriminator_steps)
        assert not differing(ours, host)
        our_logs, host_logs = train(ours, 4), train(host, 4)
        assert not differing(ours, host)
        for our_log, host_log in zip(our_logs, host_logs, strict=True):
            assert {key: our_log[key].item() for key in host_log} == {k: v.item() for k, v in host_log.items()}

    def test_at_weight_one_negatives_are_neither_made_nor_scored(self):
        class Refusing(MirroredNegative):
            def forward(self, x, *, generator=None):
                raise AssertionError("a negative was made")

        plain, warming = build(), build(negative=Refusing(), fake_weight=1.0)
        train(plain, 3), train(warming, 3)
        assert not differing(plain, warming)


class TestHostFault:
    def test_mmagics_pipeline_makes_its_discriminator_mix_the_labels_of_a_batch(self):
        host, ours = build(BigGAN).eval(), build().eval()
        data = host.data_preprocessor(batch(), True)["data_samples"]
        label = host.data_sample_to_label(data)
        assert label.shape == (BATCH, 1)
        assert host.discriminator(data.gt_img, label=label).shape != (BATCH, 1)
        flat = ours.data_sample_to_label(data)
        assert flat.tolist() == [row[0] for row in label.tolist()]
        assert ours.discriminator(data.gt_img, label=flat).shape == (BATCH, 1)


class TestWithNegatives:
    @pytest.mark.parametrize("mode", ["joint", "separate"])
    @pytest.mark.parametrize("fake_weight", [0.25, 0.9])
    def test_a_step_equals_the_one_written_out(self, mode, fake_weight):
        model = build(negative=MirroredNegative(), fake_weight=fake_weight, discriminator_forward=mode).double()
        # mmagic draws float32 noise whatever the model is made of
        model.noise_fn = lambda num_batches: torch.randn(num_batches, NOISE).double()
        generator, discriminator = copy.deepcopy(model.generator), copy.deepcopy(model.discriminator)
        wrappers = optimizers(model)
        (log,) = train(model, 1, wrappers, dtype=torch.float64)

        data = model.data_preprocessor(batch(0, dtype=torch.float64), True)["data_samples"]
        real, real_label = data.gt_img, data.gt_label.label.flatten()
        assert real.dtype == torch.float64
        assert real.min() < -0.9
        assert real.max() > 0.9
        torch.manual_seed(7)
        noise, label = torch.randn(BATCH, NOISE).double(), torch.randint(0, CLASSES, (BATCH,))
        with torch.no_grad():
            fake = generator(noise, label=label)
        negative = torch.stack([torch.stack([plane[list(range(31, -1, -1))] for plane in image]) for image in real])
        if mode == "joint":
            logits = discriminator(torch.cat([fake, real, negative]), label=torch.cat([label, real_label, real_label]))
            on_fake, on_real, on_negative = logits[:BATCH], logits[BATCH : 2 * BATCH], logits[2 * BATCH :]
        else:
            on_fake, on_real = discriminator(fake, label=label), discriminator(real, label=real_label)
            on_negative = discriminator(negative, label=real_label)
        loss = sum(max(0.0, 1 - v) for v in on_real.flatten()) / BATCH
        loss = loss + fake_weight * sum(max(0.0, 1 + v) for v in on_fake.flatten()) / BATCH
        loss = loss + (1 - fake_weight) * sum(max(0.0, 1 + v) for v in on_negative.flatten()) / BATCH
        optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.0, 0.999))
        loss.backward()
        optimizer.step()

        assert abs(log["loss"].item() - loss.item()) < 1e-6
        assert abs(log["logit_negative"].item() - on_negative.mean().item()) < 1e-6
        # The discriminator's weights; the generator's step iterates its spectral normalisation once more, without
        # gradient.
        for name, parameter in model.discriminator.named_parameters():
            torch.testing.assert_close(parameter, dict(discriminator.named_parameters())[name], rtol=0, atol=1e-6)

        optimizer = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.0, 0.999))
        noise, label = torch.randn(BATCH, NOISE).double(), torch.randint(0, CLASSES, (BATCH,))
        (-discriminator(generator(noise, label=label), label=label).mean()).backward()
        optimizer.step()
        assert not differing(model.generator, generator, 1e-6)

    def test_the_generators_loss_is_not_scaled(self):
        torch.manual_seed(0)
        logits = torch.randn(8, 1)
        loss, _ = build(negative=MirroredNegative(), fake_weight=0.25).gen_loss(logits)
        assert loss.item() == -logits.mean().item()

    def test_accumulated_gradients_are_the_mean_of_the_parts(self):
        model = build(negative=MirroredNegative())
        discriminator = copy.deepcopy(model.discriminator)
        wrappers = optimizers(model, accumulative_counts=2)
        for wrapper in wrappers.values():
            wrapper.initialize_count_status(model, 0, 100)
        torch.manual_seed(7)
        before = copy.deepcopy(model.discriminator.state_dict())
        generator = copy.deepcopy(model.generator)
        model.train_step(batch(0), wrappers)
        assert all(torch.equal(before[k], v) for k, v in model.discriminator.named_parameters())
        MessageHub.get_current_instance().update_info("iter", 1)
        model.train_step(batch(1), wrappers)

        optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.0, 0.999))
        torch.manual_seed(7)
        for part in range(2):
            data = model.data_preprocessor(batch(part), True)["data_samples"]
            real, real_label = data.gt_img, data.gt_label.label.flatten()
            noise, label = torch.randn(BATCH, NOISE), torch.randint(0, CLASSES, (BATCH,))
            with torch.no_grad():
                fake = generator(noise, label=label)
            logits = discriminator(torch.cat([fake, real, real.flip(-2)]), label=torch.cat([label] + [real_label] * 2))
            on_fake, on_real, on_negative = logits.split(BATCH)
            loss = (
                F.relu(1 - on_real).mean() + 0.25 * F.relu(1 + on_fake).mean() + 0.75 * F.relu(1 + on_negative).mean()
            )
            (loss / 2).backward()
        optimizer.step()
        for name, parameter in model.discriminator.named_parameters():
            torch.testing.assert_close(parameter, dict(discriminator.named_parameters())[name], rtol=0, atol=1e-6)

    def test_schedules_count_generator_steps(self):
        model = build(
            negative=dict(type="Curriculum", milestones=[(0, dict(type="Jigsaw", grid=4)), (2, dict(type="Jigsaw"))]),
            fake_weight=[(0, 1.0), (1, 0.5), (2, 0.25)],
            discriminator_steps=3,
        )
        logs = train(model, 8)
        weights = [log["fake_weight"].item() for log in logs]
        assert weights == [1.0] * 3 + [0.5] * 3 + [0.25] * 2
        assert ["loss_disc_negative" in log for log in logs] == [False] * 3 + [True] * 5
        assert int(model.state_dict()["negative.iteration"]) == 2

    def test_the_discriminator_passes_are_one_or_three(self):
        for mode, passes in (("joint", [3 * BATCH]), ("separate", [BATCH] * 3)):
            model = build(negative=MirroredNegative(), discriminator_forward=mode)
            seen = []
            model.discriminator.register_forward_hook(lambda module, args, output, seen=seen: seen.append(len(args[0])))
            train(model, 1)
            assert seen == [*passes, BATCH]  # and the generator's own


class TestUnconditional:
    def test_one_class_needs_no_labels_and_ignores_those_there(self):
        with_labels, without = (
            build(classes=1, negative=MirroredNegative()),
            build(classes=1, negative=MirroredNegative()),
        )
        for model, labels in ((with_labels, True), (without, False)):
            data, wrappers = batch(labels=labels), optimizers(model)
            if not labels:
                # the same images: labels were drawn between them
                for sample, other in zip(data["data_samples"], batch()["data_samples"], strict=True):
                    sample.gt_img = other.gt_img
            torch.manual_seed(7)
            model.train_step(data, wrappers)
        assert not differing(with_labels, without)

    def test_a_conditional_model_refuses_images_without_labels(self):
        model = build()
        with pytest.raises(ValueError, match=r"GAN of 10 classes needs the class of every real image.*num_classes=1"):
            model.train_step(batch(labels=False), optimizers(model))


class TestRefusals:
    @pytest.mark.parametrize("value", [0.0, 1.5, [(0, 1.0), (10, 0.0)], None, "0.25", float("nan"), True, [(0,)]])
    def test_fake_weight_out_of_range_or_of_another_kind(self, value):
        with pytest.raises((TypeError, ValueError), match="fake_weight"):
            build(fake_weight=value)

    def test_unknown_names(self):
        with pytest.raises(ValueError, match=r"discriminator_forward must be one of.*'both'"):
            build(discriminator_forward="both")
        with pytest.raises(ValueError, match=r"kind must be one of.*'hinged'"):
            build(adversarial_loss="hinged")

    def test_a_grid_that_does_not_divide_the_resolution(self):
        with pytest.raises(ValueError, match=r"3.*32"):
            build(negative=dict(type="Jigsaw", grid=3))

    def test_layers_that_mix_samples_are_scored_apart(self):
        model = build()
        model.discriminator.extra = torch.nn.BatchNorm2d(3)
        assert mixes_samples(model.discriminator) == ["extra"]
        assert model._choose_forward("auto") == "separate"
        with pytest.raises(ValueError, match=r"mixes the samples of a batch in \['extra'\]"):
            model._choose_forward("joint")


class TestSampling:
    @pytest.mark.parametrize("use_batch_statistics", [False, True])
    def test_sampling_leaves_the_model_as_it_was(self, use_batch_statistics):
        model = build()
        train(model, 2)
        before = copy.deepcopy(model.state_dict())
        label = torch.arange(10)
        images = sample_images(
            model, torch.randn(10, NOISE), label, use_batch_statistics=use_batch_statistics, sample_model="orig"
        )
        assert images.dtype == torch.uint8
        assert images.shape == (10, 3, 32, 32)
        assert model.generator.training
        after = model.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)

    def test_batch_statistics_are_those_of_train_mode(self):
        model = build()
        train(model, 2)
        noise, label = torch.randn(10, NOISE), torch.arange(10)
        images = sample_images(model, noise, label, use_batch_statistics=True, sample_model="orig")
        reference = copy.deepcopy(model.generator).eval()
        for module in reference.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.train()
        with torch.no_grad():
            expected = ((reference(noise, label=label) * 127.5) + 127.5).round().clamp(0, 255).byte()
        # the networks see BGR, a viewer RGB
        assert torch.equal(images, expected[:, [2, 1, 0]])
        running = sample_images(model, noise, label, sample_model="orig")
        assert not torch.equal(images, running)

    def test_the_moving_average_is_another_generator(self):
        model = build()
        train(model, 3)
        noise, label = torch.randn(10, NOISE), torch.arange(10)
        assert not torch.equal(
            sample_images(model, noise, label, use_batch_statistics=True),
            sample_images(model, noise, label, use_batch_statistics=True, sample_model="orig"),
        )
        with pytest.raises(ValueError, match="sample_model must be one of"):
            sample_images(model, noise, label, sample_model="best")


def normalised(network):
    """Layers of spectral norm, in either of mmagic's styles, by name."""
    return {
        name: layer
        for name, layer in network.named_modules()
        if hasattr(layer, "sn_weight") or hasattr(layer, "weight_orig")
    }


@pytest.mark.parametrize("sn_style", ["torch", "ajbrock"])
class TestSpectralNormOfTheEMA:
    """An EMA averages weights, and holds the singular vectors of the generator in training."""

    def trained(self, sn_style, **settings):
        """A model whose average has other weights than the generator: one singular value above the others."""
        model = build(sn_style=sn_style, **settings)
        train(model, 2)
        for layer in normalised(model.generator_ema.module).values():
            weight = (layer.weight if hasattr(layer, "sn_weight") else layer.weight_orig).data
            first = torch.outer(torch.randn(len(weight)), torch.randn(weight[0].numel()))
            weight.copy_(first.view_as(weight) + 0.1 * torch.randn_like(weight))
        return model.eval()

    def norms(self, model, draw):
        """Spectral norms of the weights that the averaged layers apply while samples are drawn."""
        found = {}

        def note(name):
            def hook(layer, args, output):
                weight = layer.sn_weight() if hasattr(layer, "sn_weight") else layer.weight
                found[name] = torch.linalg.matrix_norm(weight.detach().flatten(1), ord=2).item()

            return hook

        for name, layer in normalised(model.generator_ema.module).items():
            layer.register_forward_hook(note(name))
        draw(model)
        assert len(found) > 9
        return torch.tensor(list(found.values()))

    DRAWS = {
        "sample_images": lambda model: sample_images(model, torch.randn(10, NOISE), torch.arange(10)),
        "batch_statistics": lambda model: sample_images(
            model, torch.randn(10, NOISE), torch.arange(10), use_batch_statistics=True
        ),
        "val_step": lambda model: model.val_step(dict(inputs=dict(num_batches=4, sample_model="ema"))),
        "forward": lambda model: model(dict(noise=torch.randn(4, NOISE), sample_model="ema")),
    }

    @pytest.mark.parametrize("draw", DRAWS)
    def test_samples_are_divided_by_the_sigma_of_the_averaged_weights(self, sn_style, draw):
        model = self.trained(sn_style)
        before = copy.deepcopy(model.state_dict())
        norms = self.norms(model, self.DRAWS[draw])
        torch.testing.assert_close(norms, torch.ones_like(norms), rtol=2e-3, atol=0)
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())

    def test_averaged_buffers_do_no_harm(self, sn_style):
        """Averaged vectors are shorter than 1."""
        settings = networks()["ema_config"] | dict(update_buffers=True)
        model = build(sn_style=sn_style)
        model = NDABigGAN(
            model.generator, model.discriminator, model.data_preprocessor, num_classes=CLASSES, ema_config=settings
        )
        train(model, 6)
        norms = self.norms(model.eval(), self.DRAWS["sample_images"])
        torch.testing.assert_close(norms, torch.ones_like(norms), rtol=2e-2, atol=0)

    def test_what_interrupts_a_pass_leaves_the_vectors_alone(self, sn_style):
        model = self.trained(sn_style)
        before = copy.deepcopy(model.state_dict())
        with pytest.raises((AssertionError, RuntimeError)):
            model(dict(noise=torch.randn(4, NOISE + 1), sample_model="ema"))
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_mmagics_own_ema_divides_by_another_sigma():
    """If this fails, mmagic or PyTorch has fixed it, and own_spectral_norm may go."""
    vectors = TestSpectralNormOfTheEMA()
    norms = vectors.norms(
        vectors.trained("torch", cls=FlatLabelBigGAN),
        lambda model: model.generator_ema(torch.randn(4, NOISE), label=torch.arange(4)),
    )
    assert (norms - 1).abs().max() > 0.1


def test_a_style_without_gradient_through_sigma_is_told_once(capsys):
    MMLogger.get_instance("test_sn_style", log_level="WARNING")
    _warn_once.cache_clear()
    build()
    assert "sn_style" not in capsys.readouterr().out
    build(sn_style="ajbrock"), build(sn_style="ajbrock")
    assert capsys.readouterr().out.count("sn_style='torch'") == 1


class TestInitialWeights:
    """mmengine moves a model to its device before it draws the weights. A change of type is a move, too."""

    def deviations(self, cls):
        model = cls(**networks()).to(torch.float64).to(torch.float32)
        torch.manual_seed(0)
        model.init_weights()
        layers = [m for m in model.discriminator.modules() if isinstance(m, torch.nn.Conv2d) and m.weight.numel() > 500]
        assert len(layers) >= 4 and all(hasattr(layer, "weight_orig") for layer in layers)
        return torch.stack([layer.weight_orig.detach().std() for layer in layers])

    def test_are_those_that_the_recipe_names_after_a_move(self):
        torch.testing.assert_close(self.deviations(NDABigGAN), torch.full((7,), 0.02), rtol=0.1, atol=0)

    def test_mmagics_are_not(self):
        """If this fails, mmagic or PyTorch has mended it, and share_normalised_weights may go."""
        assert (self.deviations(BigGAN) - 0.02).abs().min() > 0.02

    @pytest.mark.parametrize("move", [False, True])
    def test_biases_are_pytorchs_where_asked_for(self, move):
        """Weights and embeddings are N(0, 0.02), biases uniform within 1 / sqrt(fan-in)."""
        settings = networks()
        for part in ("generator", "discriminator"):
            settings[part]["base_channels"] = 8
        model = NDABigGAN(**settings, uniform_biases=True)
        if move:
            model = model.to(torch.float64).to(torch.float32)
        torch.manual_seed(0)
        model.init_weights()
        shares, weights, embeddings = [], [], []
        for network in (model.generator, model.discriminator):
            for layer in network.modules():
                if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear, torch.nn.Embedding)):
                    weight = getattr(layer, "weight_orig", layer.weight).detach()
                    (embeddings if isinstance(layer, torch.nn.Embedding) else weights).append(weight.flatten())
                    if getattr(layer, "bias", None) is not None:
                        fan_in = weight[0].numel()
                        shares.append(layer.bias.detach() * fan_in**0.5)  # U(-1, 1)
        assert len(shares) == 22  # every convolution and linear layer of both
        shares = torch.cat(shares).double().numpy()
        assert abs(shares).max() <= 1
        assert stats.kstest(shares, stats.uniform(-1, 2).cdf).pvalue > 0.01
        for drawn in (weights, embeddings):
            values = torch.cat(drawn).double().numpy()
            assert abs(values.std() / 0.02 - 1) < 0.05
            assert stats.kstest(values[:20_000], stats.norm(0, 0.02).cdf).pvalue > 0.01

    def test_loaded_biases_are_kept(self, tmp_path):
        settings = networks()
        first = NDABigGAN(**settings, uniform_biases=True)
        first.init_weights()
        torch.save(first.generator.state_dict(), tmp_path / "generator.pth")
        settings["generator"]["init_cfg"] = dict(type="Pretrained", checkpoint=str(tmp_path / "generator.pth"))
        second = NDABigGAN(**settings, uniform_biases=True)
        second.init_weights()
        assert not differing(first.generator, second.generator)

    def test_do_not_depend_on_a_move(self):
        first, second = NDABigGAN(**networks()), NDABigGAN(**networks()).to(torch.float64).to(torch.float32)
        for model in (first, second):
            torch.manual_seed(0)
            model.init_weights()
        drawn_before = ("weight_u", "weight_v")
        changed = {name for name in differing(first, second) if not name.endswith(drawn_before)}
        assert all(name.startswith("generator_ema.") for name in changed)


class TestFasterNetworks:
    """Compiled networks: the same training up to rounding, the same checkpoints."""

    def compared(self, **settings):
        plain, fast = (NDABigGAN(**networks(), negative=MirroredNegative(), **given) for given in ({}, settings))
        for model in (plain, fast):
            torch.manual_seed(3)
            for name, buffer in model.named_buffers():  # those of spectral normalisation are drawn at construction
                if name.endswith(("weight_u", "weight_v")):
                    buffer.copy_(F.normalize(torch.randn_like(buffer), dim=0))
            model.init_weights()
        assert all(name.startswith("generator_ema.") for name in differing(plain, fast))  # a copy made at construction
        (log,), (fast_log,) = train(plain, 1), train(fast, 1)
        assert log.keys() == fast_log.keys()
        for key in log:  # Adam's first step is one of signs, so what follows the first update differs more
            tolerance = 0.05 if "gen" in key else 1e-4
            torch.testing.assert_close(fast_log[key], log[key], rtol=tolerance, atol=tolerance, msg=key)
        return fast

    @pytest.mark.slow
    def test_compiled(self):
        """By the backend that only traces: the compiler proper takes minutes, and is PyTorch's to test."""
        torch._dynamo.reset()
        self.compared(compile_networks=dict(backend="aot_eager"))
        counters = torch._dynamo.utils.counters
        assert counters["stats"]["unique_graphs"] >= 2 and not counters["graph_break"]
        torch._dynamo.reset()
