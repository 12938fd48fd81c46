# BigGAN with jigsaw negatives on CIFAR-10, kept at the project's well-known path.
_base_ = "biggan/nda_biggan_cifar10.py"
