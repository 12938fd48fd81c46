# MoCo v2 on CIFAR-10, ResNet-18 with the CIFAR stem: the settings of the MoCo authors' own demo on CIFAR-10
# (facebookresearch/moco, colab/moco_cifar10_demo.ipynb), with MoCo v2's projection head. mmpretrain lacks their split
# batch normalization, which imitates 8 GPUs on one: keys are shuffled only between GPUs.
# On a CPU: --cfg-options model.backbone.base_channels=16 model.backbone.stem_channels=16 model.neck.in_channels=128
# and train_dataloader.dataset.every=5 for every fifth image.
_base_ = "../_base_/moco_runtime.py"

# Two views of each CIFAR-10 image with the MoCo authors' augmentations: crops, flips, colors; no blur at 32x32
# (facebookresearch/moco, colab/moco_cifar10_demo.ipynb). With OpenCV, two views take 0.6 ms on one CPU core.
# See nda_mm.CIFAR10 for the file formats allowed in data_root; tools/prepare_data.py writes them.
dataset_type = "nda_mm.CIFAR10"
data_root = "data/cifar10"
image_size = 32

data_preprocessor = dict(
    type="SelfSupDataPreprocessor",
    mean=[125.307, 122.961, 113.8575],
    std=[51.5865, 50.847, 51.255],
    to_rgb=False,  # the data set returns RGB
)

view_pipeline = [
    dict(type="RandomResizedCrop", scale=image_size, crop_ratio_range=(0.08, 1.0), backend="cv2"),
    dict(type="RandomFlip", prob=0.5),
    dict(
        type="RandomApply",
        # mmcv assumes BGR, so the gray image behind the saturation change has the weights of red and blue swapped.
        transforms=[
            dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, backend="cv2"),
        ],
        prob=0.8,
    ),
    dict(type="RandomGrayscale", prob=0.2, keep_channels=True, channel_weights=(0.299, 0.587, 0.114)),
]

train_dataloader = dict(
    batch_size=512,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    pin_memory=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split="train",
        image_key="img",
        pipeline=[dict(type="MultiView", num_views=2, transforms=[view_pipeline]), dict(type="PackInputs")],
    ),
)

# The kNN accuracy on frozen features, for recipes to add to their hooks. Labels are used for nothing else.
knn = dict(
    type="nda_mm.KNNHook",
    bank=dict(
        type=dataset_type, data_root=data_root, split="train", image_key="img", pipeline=[dict(type="PackInputs")]
    ),
    test=dict(
        type=dataset_type, data_root=data_root, split="test", image_key="img", pipeline=[dict(type="PackInputs")]
    ),
    k=200,
    temperature=0.1,
)

model = dict(
    type="MoCo",
    data_preprocessor=data_preprocessor,
    feat_dim=128,
    queue_len=4096,  # a multiple of the total batch size over all ranks
    momentum=0.01,  # step towards the query encoder; MoCo's convention is 0.99
    backbone=dict(type="ResNet_CIFAR", depth=18, zero_init_residual=False),
    neck=dict(type="MoCoV2Neck", in_channels=512, hid_channels=512, out_channels=128, with_avg_pool=True),
    head=dict(type="ContrastiveHead", temperature=0.1, loss=dict(type="CrossEntropyLoss")),
)

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.06, momentum=0.9, weight_decay=5e-4),  # for a batch of 512; 0.03 for 256
)
train_cfg = dict(max_epochs=200)
custom_hooks = [*_base_.custom_hooks, knn]
