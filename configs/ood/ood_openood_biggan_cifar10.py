# Anomaly detection with the discriminator of biggan_cifar10, by OpenOOD v1.5's protocol, to compare with classifiers.
# python tools/test.py ood_openood_biggan_cifar10 CKPT
_base_ = ["../biggan/biggan_cifar10.py", "../_base_/datasets/openood_cifar10.py"]

test_dataloader = dict(dataset=dict(_delete_=True, pipeline=[dict(type="PackInputs")], **_base_.openood.inside))
test_evaluator = dict(metrics=[_base_.openood])
