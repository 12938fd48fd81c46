# Anomaly detection with classifier_cifar10, by OpenOOD v1.5's protocol: near and far OOD sets, and their means.
# python tools/test.py ood_openood_cifar10 work_dirs/classifier_cifar10/epoch_30.pth
# Other scores: --cfg-options test_evaluator.metrics.0.score=energy (or max_logit, or knn)
_base_ = ["../classifiers/classifier_cifar10.py", "../_base_/datasets/openood_cifar10.py"]

test_dataloader = dict(
    dataset=dict(_delete_=True, image_key="img", pipeline=[dict(type="PackInputs")], **_base_.openood.inside)
)
test_cfg = dict(type="mmagic.MultiTestLoop")  # lets a metric do the work, which mmengine's loop does not
test_evaluator = dict(_delete_=True, type="mmagic.Evaluator", metrics=[dict(score="msp", **_base_.openood)])
