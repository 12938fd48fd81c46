# CIFAR-10 for GANs: batches of 64 without augmentation (the published recipe has no flip either).
# See nda_mm.CIFAR10 for the file formats allowed in data_root; tools/prepare_data.py writes them.
# The images are one array in memory: fetching one takes 44 us of CPU time in the main process, receiving it
# from a worker takes 380 us.
dataset_type = "nda_mm.CIFAR10"
data_root = "data/cifar10"
pipeline = [dict(type="PackInputs")]

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type=dataset_type, data_root=data_root, split="train", image_key="gt", pipeline=pipeline),
)

val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split="test", image_key="gt", pipeline=pipeline),
)
test_dataloader = val_dataloader
