"""GraphDef -> IR -> passes -> TensorFlow Lite."""
