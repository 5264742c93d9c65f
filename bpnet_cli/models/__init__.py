"""Networks as plain functional Keras graphs, their weights and their files."""
