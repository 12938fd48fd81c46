"""Dense Predictive Coding with negatives, and what it is made of, for mmaction2."""
