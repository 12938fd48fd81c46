# Two views of a patch of BCCD's training photographs, without their boxes; 96 pixels of images 224 high, which is how
# detection_bccd.py sees the cells. A photograph gives ten patches an epoch.
# `python tools/prepare_data.py bccd BCCD_Dataset.zip` puts the images where this looks.
dataset_type = "nda_mm.VOCImages"
data_root = "data/bccd"
image_size = 96

data_preprocessor = dict(
    type="SelfSupDataPreprocessor",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=False,  # the data set gives RGB
)

view_pipeline = [
    dict(type="RandomResizedCrop", scale=image_size, crop_ratio_range=(0.3, 1.0), backend="cv2"),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="RandomFlip", prob=0.5, direction="vertical"),
    dict(
        type="RandomApply",
        # mmcv takes images for BGR: the gray that saturation is measured from weighs red and blue the other way around.
        transforms=[
            dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, backend="cv2"),
        ],
        prob=0.8,
    ),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="RepeatDataset",
        times=10,
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            split="train",
            size=(224, 299),
            image_key="img",
            pipeline=[
                dict(type="RandomCrop", crop_size=128),
                dict(type="MultiView", num_views=2, transforms=[view_pipeline]),
                dict(type="PackInputs"),
            ],
        ),
    ),
)
