# Images of exactly two digits, with images of one and three digits as negatives.
_base_ = "numerosity_digits.py"

model = dict(
    negative=dict(
        type="ExternalImage", images=dict(type="nda_mm.Numerosity", counts=[1, 3], size=20, num_images=4_000)
    ),
    fake_weight=0.5,
)
