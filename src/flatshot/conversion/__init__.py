"""Whatever holds a detector to a TensorFlow Lite model: the doors, and the road from each."""
