"""mmagic's GANs with negatives: the discriminator step, the GAN families, and helpers for their networks."""
