"""Running a trained model: sources of photos, network backends, the predictor, drawing and result files."""
