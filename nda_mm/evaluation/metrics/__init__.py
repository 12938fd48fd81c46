"""Registered metrics for generators, for discriminators as anomaly detectors, and for image translation."""
