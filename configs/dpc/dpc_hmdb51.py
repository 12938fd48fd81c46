# DPC on the training videos of HMDB51's first split, without their labels. Lists: tools/prepare_data.py hmdb51.
_base_ = ["../_base_/dpc_pretraining.py", "../_base_/datasets/dpc_ucf101.py"]

train_dataloader = dict(
    dataset=dict(ann_file="data/hmdb51/hmdb51_train_split_1_videos.txt", data_prefix=dict(video="data/hmdb51/videos"))
)
