"""The training core: data in a reproducible order, one loop for all families, checkpoints that chain."""
