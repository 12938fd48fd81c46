# Anomaly detection with discriminators of biggan_cifar10_16px: CIFAR-10 against CIFAR-100, SVHN and noise, at 16x16.
# python tools/test.py ood_biggan_cifar10_16px CKPT; to omit SVHN, add
# --cfg-options "test_evaluator.metrics.0.only=['cifar100','uniform','gaussian']"
_base_ = "../biggan/biggan_cifar10_16px.py"

packed = dict(size=16, pipeline=[dict(type="PackInputs")])
test_evaluator = dict(
    _delete_=True,
    metrics=[
        dict(
            type="nda_mm.OODMetric",
            outside=dict(
                cifar100=dict(type="nda_mm.CIFAR100", data_root="data/cifar100", split="test", **packed),
                svhn=dict(type="nda_mm.SVHN", data_root="data/svhn", **packed),
                uniform=dict(type="nda_mm.NoiseImages", kind="uniform", **packed),
                gaussian=dict(type="nda_mm.NoiseImages", kind="gaussian", **packed),
            ),
        )
    ],
)
