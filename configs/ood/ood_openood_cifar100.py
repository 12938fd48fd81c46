# Anomaly detection with classifier_cifar100, by OpenOOD v1.5's protocol: near and far OOD sets, and their means.
# python tools/test.py ood_openood_cifar100 work_dirs/classifier_cifar100/epoch_30.pth
# Other scores: --cfg-options test_evaluator.metrics.0.score=energy (or max_logit, or knn)
_base_ = "../classifiers/classifier_cifar100.py"

# OpenOOD v1.5 for CIFAR-100, otherwise as in _base_/datasets/openood_cifar10.py.
images = dict(type="nda_mm.OpenOODImages", benchmark="cifar100", data_root="data/openood")
openood = dict(
    type="nda_mm.OODMetric",
    benchmark="OpenOOD v1.5, CIFAR-100",
    trapezoid=True,  # for AUPR
    inside=dict(name="cifar100", otherwise=dict(type="nda_mm.CIFAR100", split="test"), **images),
    bank=dict(name="cifar100", split="train", otherwise=dict(type="nda_mm.CIFAR100", split="train"), **images),
    outside=dict(
        near=dict(
            cifar10=dict(name="cifar10", otherwise=dict(type="nda_mm.CIFAR10", split="test"), **images),
            tin=dict(name="tin", otherwise=dict(type="nda_mm.TinyImageNet"), **images),
        ),
        far=dict(
            mnist=dict(name="mnist", otherwise=dict(type="nda_mm.MNIST"), **images),
            svhn=dict(name="svhn", otherwise=dict(type="nda_mm.SVHN"), **images),
            texture=dict(name="texture", otherwise=dict(type="nda_mm.DTD"), **images),
            places365=dict(name="places365", otherwise=dict(type="nda_mm.Places365"), **images),
        ),
    ),
)

test_dataloader = dict(
    dataset=dict(_delete_=True, image_key="img", pipeline=[dict(type="PackInputs")], **openood["inside"])
)
test_cfg = dict(type="mmagic.MultiTestLoop")  # lets a metric do the work, which mmengine's loop does not
test_evaluator = dict(_delete_=True, type="mmagic.Evaluator", metrics=[dict(score="msp", **openood)])
