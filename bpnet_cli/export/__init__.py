"""Model files for deployment."""
