# Points on a ring, with points rotated into the gaps between the Gaussians as negatives.
_base_ = "toy_gaussians.py"

model = dict(negative=dict(type="TurnPoints", degrees=22.5), fake_weight=0.5)
