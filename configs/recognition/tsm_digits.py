# TSM on moving digits: the blocks of the 2-D backbone see some features of the previous and the next frame.
# Pretrained: as in tsn_digits.py, with model.backbone.net.init_cfg instead of model.backbone.init_cfg.
_base_ = "tsn_digits.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="nda_mm.ShiftedBackbone",
        num_segments=8,
        net=dict(
            type="mmpretrain.ResNet_CIFAR", depth=18, stem_channels=16, base_channels=16, zero_init_residual=False
        ),
    ),
    cls_head=dict(type="TSMHead", num_segments=8, is_shift=True),
)
