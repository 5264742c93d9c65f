"""Measuring a model: COCO keypoint metrics and an HTML report."""
