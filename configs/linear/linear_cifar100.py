# Linear probe of a ResNet-18 trained by moco_cifar100.py or nda_moco_cifar100.py.
#   python tools/train.py linear_cifar100 --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = "linear_cifar10.py"

dataset = dict(type="nda_mm.CIFAR100", data_root="data/cifar100")

model = dict(
    data_preprocessor=dict(num_classes=100, mean=[129.304, 124.070, 112.434], std=[68.170, 65.392, 70.418]),
    head=dict(num_classes=100),
)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
