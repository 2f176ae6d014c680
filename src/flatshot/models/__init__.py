"""Configuration and weights -> GraphDef."""
