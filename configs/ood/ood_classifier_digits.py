# Anomaly detection with the logits of classifier_digits: digits against images that are not digits. No download.
# python tools/test.py ood_classifier_digits work_dirs/classifier_digits/epoch_12.pth
# Other scores: --cfg-options test_evaluator.metrics.0.score=msp (or max_logit)
_base_ = "../classifiers/classifier_digits.py"

outside = dict(type="nda_mm.OODDigits", split="test", size=16, image_key="img", pipeline=[dict(type="PackInputs")])
test_cfg = dict(type="mmagic.MultiTestLoop")  # lets a metric do the work, which mmengine's loop does not
test_evaluator = dict(
    _delete_=True,
    type="mmagic.Evaluator",
    metrics=[
        dict(
            type="nda_mm.OODMetric",
            score="energy",
            outside=dict(
                rotated=dict(kind="rotated", **outside),
                inverted=dict(kind="inverted", **outside),
                blurred=dict(kind="blurred", **outside),
                letters=dict(kind="letters", **outside),
            ),
        )
    ],
)
