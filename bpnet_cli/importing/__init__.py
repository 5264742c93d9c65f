"""Trained networks of other tools as Keras graphs that train on."""
