# Anomaly detection with the logits of classifier_cifar10_16px: CIFAR-10 against CIFAR-100, SVHN and noise, at 16x16.
# python tools/test.py ood_classifier_cifar10_16px work_dirs/classifier_cifar10_16px/epoch_30.pth; to omit SVHN, add
# --cfg-options "test_evaluator.metrics.0.only=['cifar100','uniform','gaussian']"
# Other scores: --cfg-options test_evaluator.metrics.0.score=msp (or max_logit, or knn)
_base_ = "../classifiers/classifier_cifar10_16px.py"

packed = dict(size=16, image_key="img", pipeline=[dict(type="PackInputs")])
test_cfg = dict(type="mmagic.MultiTestLoop")  # lets a metric do the work, which mmengine's loop does not
test_evaluator = dict(
    _delete_=True,
    type="mmagic.Evaluator",
    metrics=[
        dict(
            type="nda_mm.OODMetric",
            score="energy",
            bank=dict(type="nda_mm.CIFAR10", data_root=_base_.data_root, split="train", **packed),
            outside=dict(
                cifar100=dict(type="nda_mm.CIFAR100", data_root="data/cifar100", split="test", **packed),
                svhn=dict(type="nda_mm.SVHN", data_root="data/svhn", **packed),
                uniform=dict(type="nda_mm.NoiseImages", kind="uniform", **packed),
                gaussian=dict(type="nda_mm.NoiseImages", kind="gaussian", **packed),
            ),
        )
    ],
)
