# Counts handwritten digits on an image: the judge of numerosity_digits.py. Trained on images of none to three digits,
# judged on held-out ones; seconds to a minute on a CPU. It is trained at first use by itself; by hand:
# python tools/train.py classifier_numerosity
_base_ = "classifier_digits.py"

size = 20
counts = (0, 1, 2, 3)
model = dict(
    data_preprocessor=dict(num_classes=4),
    head=dict(num_classes=4),
)
images = dict(type="nda_mm.Numerosity", counts=counts, size=size, image_key="img")
train_dataloader = dict(
    dataset=dict(_delete_=True, split="train", num_images=4_000, pipeline=[dict(type="PackInputs")], **images)
)
val_dataloader = dict(
    dataset=dict(_delete_=True, split="test", num_images=2_000, pipeline=[dict(type="PackInputs")], **images)
)
test_dataloader = val_dataloader
