"""Necks: from what a backbone is tapped at to the feature maps that heads read."""
