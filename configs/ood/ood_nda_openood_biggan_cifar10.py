# Anomaly detection by the discriminator of nda_biggan_cifar10 as OpenOOD v1.5 judges it.
_base_ = "ood_openood_biggan_cifar10.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
