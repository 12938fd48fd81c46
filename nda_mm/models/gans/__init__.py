"""mmagic's GANs with negatives: the step, the families, and what their networks need."""
