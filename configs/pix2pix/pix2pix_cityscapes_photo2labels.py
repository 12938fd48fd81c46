# Pix2Pix from Cityscapes' photographs to labels. Each output pixel gets the label with the nearest color, so the scores
# do not need a network.
_base_ = "pix2pix_cityscapes_labels2photo.py"

model = dict(default_domain="label", reachable_domains=["label"], related_domains=["label", "photo"])
val_evaluator = dict(
    metrics=[
        dict(
            type="nda_mm.SegmentationScores",
            target="label",
            labels="label",
            colors="cityscapes",
            segmenter=dict(type="colors", colors="cityscapes"),
            score_real=False,  # the real labels are the ground truth
        )
    ]
)
test_evaluator = val_evaluator
custom_hooks = [
    dict(type="nda_mm.FiniteLossHook"),
    dict(type="nda_mm.NegativeGridHook"),
    dict(type="nda_mm.TranslationGridHook", source="photo", target="label"),
]
