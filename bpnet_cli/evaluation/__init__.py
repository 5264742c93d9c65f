"""How good a model is: COCO keypoint metrics and a report to look at."""
