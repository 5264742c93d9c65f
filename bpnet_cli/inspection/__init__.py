"""Looking at what training sees, before a long run."""
