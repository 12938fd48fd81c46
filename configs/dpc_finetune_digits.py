# Motions of digits from DPC's encoder, with 20 labelled clips of each; a minute or two on two CPU cores:
#   python tools/train.py configs/dpc_finetune_digits.py --cfg-options model.backbone.init_cfg.type=Pretrained \
#       model.backbone.init_cfg.checkpoint=work_dirs/dpc_digits/epoch_14.pth
# From scratch, all at the full rate: --cfg-options optim_wrapper.paramwise_cfg=None
_base_ = ["_base_/dpc_finetuning.py", "_base_/datasets/moving_digits_clips.py"]

model = dict(
    backbone=dict(
        backbone=dict(
            base_channels=16, conv1_kernel=(1, 3, 3), conv1_stride_s=2, with_pool1=True, spatial_strides=(1, 2, 1, 1)
        ),
        aggregator=dict(in_channels=64),
    ),
    cls_head=dict(num_classes=8, in_channels=64),
    data_preprocessor=dict(mean=[21.1] * 3, std=[55.7] * 3),
)
