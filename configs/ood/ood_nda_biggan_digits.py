# Anomaly detection with the discriminator of nda_biggan_digits.
_base_ = "ood_biggan_digits.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.5)
