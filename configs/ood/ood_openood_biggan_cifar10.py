# Anomaly detection by the discriminator of biggan_cifar10 as OpenOOD v1.5 judges it, to stand beside classifiers.
# python tools/test.py ood_openood_biggan_cifar10 CKPT
_base_ = ["../biggan/biggan_cifar10.py", "../_base_/datasets/openood_cifar10.py"]

test_dataloader = dict(dataset=dict(_delete_=True, pipeline=[dict(type="PackInputs")], **_base_.openood.inside))
test_evaluator = dict(metrics=[_base_.openood])
