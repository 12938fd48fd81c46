# StyleGAN2 on a folder of your own images with jigsaw negatives; see stylegan2_images.py.
_base_ = "stylegan2_images.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
