# OpenOOD v1.5 for CIFAR-10: near and far OOD sets, each from the benchmark's own image list in
# data/openood/benchmark_imglist, with the images in data/openood/images_classic (https://github.com/Jingkang50/OpenOOD).
# A set without a list is read whole from where tools/prepare_data.py puts it, and the results say so.
# CIFAR-10-C is corrupted ID data: it is reported, but not included in the mean.
images = dict(type="nda_mm.OpenOODImages", benchmark="cifar10", data_root="data/openood")
corruptions = [
    "brightness", "contrast", "defocus_blur", "elastic_transform", "fog", "frost", "gaussian_blur", "gaussian_noise",
    "glass_blur", "impulse_noise", "jpeg_compression", "motion_blur", "pixelate", "saturate", "shot_noise", "snow",
    "spatter", "speckle_noise", "zoom_blur",
]  # fmt: skip
openood = dict(
    type="nda_mm.OODMetric",
    benchmark="OpenOOD v1.5, CIFAR-10",
    trapezoid=True,  # for AUPR
    inside=dict(name="cifar10", otherwise=dict(type="nda_mm.CIFAR10", split="test"), **images),
    bank=dict(name="cifar10", split="train", otherwise=dict(type="nda_mm.CIFAR10", split="train"), **images),
    outside=dict(
        near=dict(
            cifar100=dict(name="cifar100", otherwise=dict(type="nda_mm.CIFAR100", split="test"), **images),
            tin=dict(name="tin", otherwise=dict(type="nda_mm.TinyImageNet"), **images),
        ),
        far=dict(
            mnist=dict(name="mnist", otherwise=dict(type="nda_mm.MNIST"), **images),
            svhn=dict(name="svhn", otherwise=dict(type="nda_mm.SVHN"), **images),
            texture=dict(name="texture", otherwise=dict(type="nda_mm.DTD"), **images),
            places365=dict(name="places365", otherwise=dict(type="nda_mm.Places365"), **images),
        ),
        cifar10_c={
            f"{corruption}_{severity}": dict(type="nda_mm.CIFAR10C", corruption=corruption, severity=severity)
            for corruption in corruptions
            for severity in (1, 2, 3, 4, 5)
        },
    ),
    apart=["cifar10_c"],
)
