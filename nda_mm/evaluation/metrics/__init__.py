"""The registered metrics: of generators, of discriminators as detectors of anomalies, and of image translators."""
