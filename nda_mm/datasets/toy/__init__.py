"""Data sets that need no download: scikit-learn's digits and generated data."""
