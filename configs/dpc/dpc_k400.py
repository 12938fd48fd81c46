# DPC on Kinetics-400, without labels. Data: data/kinetics400, in the layout of mmaction2's tools/data/kinetics. The
# authors use every fifth frame here and random-size crops, from videos resized to a short side of 150 pixels.
_base_ = ["../_base_/dpc_pretraining.py", "../_base_/datasets/dpc_ucf101.py"]

train_pipeline = [
    _base_.train_pipeline[0],
    dict(type="nda_mm.SampleBlocks", num_blocks=8, block_len=5, frame_interval=5, too_short="loop"),
    _base_.train_pipeline[2],
    dict(type="Resize", scale=(-1, 150)),
    dict(type="RandomResizedCrop", area_range=(0.5, 1.0)),
    *_base_.train_pipeline[5:],
]
train_dataloader = dict(
    dataset=dict(
        ann_file="data/kinetics400/kinetics400_train_list_videos.txt",
        data_prefix=dict(video="data/kinetics400/videos_train"),
        pipeline=train_pipeline,
    )
)
