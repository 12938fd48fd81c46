# Small unconditional BigGAN on a folder of your own images with jigsaw negatives; see biggan_images_cpu.py.
_base_ = "biggan_images_cpu.py"

model = dict(negative=dict(type="Jigsaw", grid=2), fake_weight=0.25)
