"""A picture of the training samples, to check them before a long run."""
