# MoCo on scikit-learn's handwritten digits: no download, minutes on two CPU cores. Logs the kNN accuracy on the
# held-out digits. The plain twin of the NDA recipe.
_base_ = "../_base_/moco_runtime.py"

# Two views of each of scikit-learn's handwritten digits, 32x32 RGB: no download. A mirrored digit is not a digit, and
# the images are gray, so the views differ in crop, slant, brightness and contrast.
dataset_type = "nda_mm.Digits"
image_size = 32

data_preprocessor = dict(
    type="SelfSupDataPreprocessor", mean=[78.8] * 3, std=[88.9] * 3, to_rgb=False
)  # for the training split

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

# The kNN accuracy on frozen features, for recipes to add to their hooks. Labels are used for nothing else.
knn = dict(
    type="nda_mm.KNNHook",
    bank=dict(type=dataset_type, split="train", size=image_size, image_key="img", pipeline=[dict(type="PackInputs")]),
    test=dict(type=dataset_type, split="test", size=image_size, image_key="img", pipeline=[dict(type="PackInputs")]),
    k=20,
)

model = dict(
    type="MoCo",
    data_preprocessor=data_preprocessor,
    feat_dim=64,
    # An epoch is 21 steps: with a longer queue or a slower key encoder, the keys came from an untrained network and the
    # loss rose to chance level.
    queue_len=256,  # a multiple of the total batch size over all ranks
    momentum=0.05,  # step towards the query encoder; MoCo's convention is 0.95
    backbone=dict(type="ResNet_CIFAR", depth=18, stem_channels=16, base_channels=16, zero_init_residual=False),
    # With batch normalization, as in SimCLR: a new network maps all digits to nearly the same features, and without
    # batch normalization the loss rose.
    neck=dict(
        type="NonLinearNeck",
        in_channels=128,
        hid_channels=128,
        out_channels=64,
        num_layers=2,
        with_avg_pool=True,
    ),
    head=dict(type="ContrastiveHead", temperature=0.2, loss=dict(type="CrossEntropyLoss")),
)

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=2e-3, weight_decay=1e-3))
train_cfg = dict(max_epochs=30)
custom_hooks = [*_base_.custom_hooks, knn]
default_hooks = dict(logger=dict(interval=10))
