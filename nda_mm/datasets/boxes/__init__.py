"""Data sets of images with boxes around objects."""
