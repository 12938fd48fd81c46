# Pix2Pix from Cityscapes' photographs to labels. The painted output is read by its nearest colors, so the scores need
# no network.
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
            score_real=False,  # they are the truth
        )
    ]
)
test_evaluator = val_evaluator
custom_hooks = [
    dict(type="nda_mm.FiniteLossHook"),
    dict(type="nda_mm.NegativeGridHook"),
    dict(type="nda_mm.TranslationGridHook", source="photo", target="label"),
]
