"""How good generated images are: distances to real ones over a named network, and agreement with their classes."""
