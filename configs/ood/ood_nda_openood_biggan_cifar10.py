# Anomaly detection with the discriminator of nda_biggan_cifar10, by OpenOOD v1.5's protocol.
_base_ = "ood_openood_biggan_cifar10.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
