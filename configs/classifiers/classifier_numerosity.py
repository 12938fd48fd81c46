# Counts the handwritten digits in an image, none to three, for the metrics of numerosity_digits.py. They train it when
# it is first needed, in up to a minute on a CPU. To train it yourself: python tools/train.py classifier_numerosity
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
