"""Labels of other tools as COCO keypoint files: one reader for each tool, and one writer."""
