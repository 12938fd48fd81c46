# Pix2Pix from Cityscapes' labels to photographs, with jigsaw negatives of the photographs.
_base_ = "pix2pix_cityscapes_labels2photo.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
