"""Training: loss, schedules, optimizers, callbacks and the run itself."""
