"""Photos and labels: reading COCO keypoint files, augmentation, the tf.data pipeline, synthetic people."""
