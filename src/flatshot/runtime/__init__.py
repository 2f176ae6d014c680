"""A .tflite and an image -> Detections."""
