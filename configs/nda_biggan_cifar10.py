# BigGAN with jigsaw negatives on CIFAR-10, under the path that the project is known by.
_base_ = "biggan/nda_biggan_cifar10.py"
