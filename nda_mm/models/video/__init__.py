"""Dense Predictive Coding with negatives for mmaction2, and its components."""
