# Clips of HMDB51 with action labels, prepared as for UCF101, and the authors' longer schedule.
_base_ = ["ucf101_clips.py"]

videos = dict(data_prefix=dict(video="data/hmdb51/videos"))
train_dataloader = dict(dataset=dict(**videos, ann_file="data/hmdb51/hmdb51_train_split_1_videos.txt"))
val_dataloader = dict(dataset=dict(**videos, ann_file="data/hmdb51/hmdb51_val_split_1_videos.txt"))
test_dataloader = dict(dataset=dict(**videos, ann_file="data/hmdb51/hmdb51_val_split_1_videos.txt"))

param_scheduler = dict(milestones=[150, 250])
