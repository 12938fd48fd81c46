# BigGAN on CelebA at 64x64, without classes. Images are the central square of 178 pixels, the full width of the aligned
# images, scaled down (crop=108 keeps only the face); tools/prepare_data.py celeba unpacks and decodes them. The
# paper's crop, network, width and budget for CelebA are not known. The network is mmagic's own for 64 pixels, with
# self-attention at full resolution in the generator. The rest is the CIFAR-10 recipe: 97,500 steps are 153 epochs here.
_base_ = "biggan_cifar10_uncond.py"

model = dict(generator=dict(output_scale=64), discriminator=dict(input_scale=64))
dataset = dict(
    _delete_=True,
    type="nda_mm.CelebA",
    data_root="data/celeba",
    size=64,
    crop=178,
    image_key="gt",
    pipeline=[dict(type="PackInputs")],
)
train_dataloader = dict(dataset=dict(split="train", **dataset))
test_dataloader = dict(dataset=dict(split="test", **dataset))

# There is no face classifier, so training has no metrics. With the Inception weights (set
# test_evaluator.metrics.0.network.path), tools/test.py computes the FID of 10,000 samples against the test images.
train_cfg = dict(val_interval=10_000_000, data_on_device=False)
val_dataloader = val_cfg = val_evaluator = None
network = dict(type="inception", path="data/inception-2015-12-05.pt")
test_evaluator = dict(metrics=[dict(_base_.test_evaluator.metrics[0], network=network)])
default_hooks = dict(checkpoint=dict(save_best=None))
