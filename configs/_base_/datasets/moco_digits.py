# Two views of each of scikit-learn's handwritten digits, 32x32 RGB: nothing to download. A digit's mirror image is no
# digit, and its colors are equal, so the views differ in crop, slant, brightness and contrast.
dataset_type = "nda_mm.Digits"
image_size = 32

data_preprocessor = dict(
    type="SelfSupDataPreprocessor", mean=[78.8] * 3, std=[88.9] * 3, to_rgb=False
)  # of the training split

view_pipeline = [
    dict(type="RandomResizedCrop", scale=image_size, crop_ratio_range=(0.5, 1.0), backend="cv2"),
    dict(type="Rotate", magnitude_range=(0.0, 20.0), magnitude_std="inf", pad_val=0, prob=1.0),
    dict(type="Shear", magnitude_range=(0.0, 0.3), magnitude_std="inf", direction="horizontal", pad_val=0, prob=1.0),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, backend="cv2"),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type=dataset_type,
        split="train",
        size=image_size,
        image_key="img",
        pipeline=[dict(type="MultiView", num_views=2, transforms=[view_pipeline]), dict(type="PackInputs")],
    ),
)

# A recipe adds this to its hooks: the kNN accuracy on frozen features, which is all that the labels are used for.
knn = dict(
    type="nda_mm.KNNHook",
    bank=dict(type=dataset_type, split="train", size=image_size, image_key="img", pipeline=[dict(type="PackInputs")]),
    test=dict(type=dataset_type, split="test", size=image_size, image_key="img", pipeline=[dict(type="PackInputs")]),
    k=20,
)
