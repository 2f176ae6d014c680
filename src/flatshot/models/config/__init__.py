"""What the sections of a pipeline.config say of a network, as plain values; one file a section."""
