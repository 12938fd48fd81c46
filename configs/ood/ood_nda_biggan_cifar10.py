# Anomaly detection with the discriminator of nda_biggan_cifar10.
_base_ = "ood_biggan_cifar10.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
