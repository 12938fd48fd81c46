# Anomaly detection with the discriminator of biggan_cifar10: the test images of CIFAR-10 against those of other sets.
# python tools/test.py ood_biggan_cifar10 CKPT [--cfg-options "test_evaluator.metrics.0.only=['cifar100']"]
# Each OOD set is unpacked and checked by the subcommand of its name: python tools/prepare_data.py svhn test_32x32.mat,
# ... tiny_imagenet tiny-imagenet-200.zip, ... places365 val_256.tar, ... dtd dtd-r1.0.1.tar.gz, ... cifar10_c
# CIFAR-10-C.tar, ... cifar100 cifar-100-python.tar.gz. To leave out a set, list the others in `only`.
# Images that are not 32x32 are resized by their short side (bicubic, antialiased) and center-cropped.
_base_ = "../biggan/biggan_cifar10.py"

packed = dict(pipeline=[dict(type="PackInputs")])
corruptions = [
    "brightness", "contrast", "defocus_blur", "elastic_transform", "fog", "frost", "gaussian_blur", "gaussian_noise",
    "glass_blur", "impulse_noise", "jpeg_compression", "motion_blur", "pixelate", "saturate", "shot_noise", "snow",
    "spatter", "speckle_noise", "zoom_blur",
]  # fmt: skip
cifar10_c = {
    f"{corruption}_{severity}": dict(type="nda_mm.CIFAR10C", corruption=corruption, severity=severity, **packed)
    for corruption in corruptions
    for severity in (1, 2, 3, 4, 5)
}
test_evaluator = dict(
    metrics=[
        dict(
            type="nda_mm.OODMetric",
            benchmark="CIFAR-10",
            outside=dict(
                svhn=dict(type="nda_mm.SVHN", data_root="data/svhn", **packed),
                cifar100=dict(type="nda_mm.CIFAR100", data_root="data/cifar100", split="test", **packed),
                tiny_imagenet=dict(type="nda_mm.TinyImageNet", data_root="data/tiny-imagenet-200", **packed),
                places365=dict(type="nda_mm.Places365", data_root="data/places365", **packed),
                dtd=dict(type="nda_mm.DTD", data_root="data/dtd", **packed),
                cifar10_c=cifar10_c,
            ),
        )
    ]
)
