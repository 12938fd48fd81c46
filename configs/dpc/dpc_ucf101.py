# DPC on the training videos of UCF101's first split, without their labels. Lists: tools/prepare_data.py ucf101.
_base_ = ["../_base_/dpc_pretraining.py", "../_base_/datasets/dpc_ucf101.py"]
