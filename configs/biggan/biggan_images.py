# BigGAN on a folder of your own images, without classes, at 32x32. One override sets the folder:
#   python tools/train.py biggan_images --cfg-options train_dataloader.dataset.data_root=PATH
_base_ = "biggan_cifar10_uncond.py"

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="nda_mm.ImageFolder",
        data_root="data/images",
        size=32,
        image_key="gt",
        pipeline=[dict(type="PackInputs")],
    )
)
# No metrics by default. To add them, set a network as in biggan_cifar10.py, and held-out images to compare with.
train_cfg = dict(val_interval=10_000_000, data_on_device=False)
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = test_cfg = test_evaluator = None
default_hooks = dict(checkpoint=dict(save_best=None))
