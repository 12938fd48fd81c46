# Anomaly detection by classifier_cifar10 as OpenOOD v1.5 judges it: near and far OOD sets, and their means.
# python tools/test.py ood_openood_cifar10 work_dirs/classifier_cifar10/epoch_30.pth
# Other scores: --cfg-options test_evaluator.metrics.0.score=energy (or max_logit, or knn)
_base_ = ["../classifiers/classifier_cifar10.py", "../_base_/datasets/openood_cifar10.py"]

test_dataloader = dict(
    dataset=dict(_delete_=True, image_key="img", pipeline=[dict(type="PackInputs")], **_base_.openood.inside)
)
test_cfg = dict(type="mmagic.MultiTestLoop")  # asks a metric to do the work, which mmengine's loop can't
test_evaluator = dict(_delete_=True, type="mmagic.Evaluator", metrics=[dict(score="msp", **_base_.openood)])
