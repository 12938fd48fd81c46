# Anomaly detection with the discriminator of biggan_digits: digits against images that are not digits. No download.
# python tools/test.py ood_biggan_digits work_dirs/biggan_digits/iter_2500.pth
_base_ = "../biggan/biggan_digits.py"

outside = dict(type="nda_mm.OODDigits", split="test", size=16, pipeline=[dict(type="PackInputs")])
test_evaluator = dict(
    metrics=[
        dict(
            type="nda_mm.OODMetric",
            outside=dict(
                rotated=dict(kind="rotated", **outside),
                inverted=dict(kind="inverted", **outside),
                blurred=dict(kind="blurred", **outside),
                letters=dict(kind="letters", **outside),
            ),
        )
    ]
)
