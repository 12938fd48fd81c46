# Unconditional BigGAN on a folder of your own images with jigsaw negatives; see biggan_images.py.
_base_ = "biggan_images.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
