# A folder of your own images, with or without class subfolders, of any sizes:
#   --cfg-options train_dataloader.dataset.data_root=my_images val_dataloader.dataset.data_root=my_images
# Subfolders `train` and `test` are used where they exist; else both loaders read the same images.
# Decoded once and then one array in memory, so loader workers would only slow it down.
dataset_type = "nda_mm.ImageFolder"
data_root = "data/images"
image_size = 32
pipeline = [dict(type="PackInputs")]

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type=dataset_type, data_root=data_root, split="train", size=image_size, image_key="gt", pipeline=pipeline
    ),
)

val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type, data_root=data_root, split="test", size=image_size, image_key="gt", pipeline=pipeline
    ),
)
test_dataloader = val_dataloader
