# A light RetinaNet for small images; recipes add the backbone, the channels of its stages, classes and anchors.
norm_cfg = dict(type="BN", requires_grad=True)
model = dict(
    type="RetinaNet",
    neck=dict(type="FPN", start_level=0, add_extra_convs="on_output", norm_cfg=norm_cfg),
    bbox_head=dict(
        type="RetinaHead",
        norm_cfg=norm_cfg,
        stacked_convs=2,
        bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="L1Loss", loss_weight=1.0),
    ),
    train_cfg=dict(
        assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1),
        sampler=dict(type="PseudoSampler"),  # the focal loss takes every anchor
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100
    ),
)
