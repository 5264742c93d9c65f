"""What a user may write: experiment specs, overrides and skeleton files."""
