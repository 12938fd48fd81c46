# The 1,797 handwritten digits of scikit-learn, 32x32 RGB: nothing to download.
dataset_type = "nda_mm.Digits"
pipeline = [dict(type="PackInputs")]

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type=dataset_type, split="train", size=32, image_key="gt", pipeline=pipeline),
)

val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, split="test", size=32, image_key="gt", pipeline=pipeline),
)
test_dataloader = val_dataloader
