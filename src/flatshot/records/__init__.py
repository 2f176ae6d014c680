"""Every recorded run - settings, figures, tags, artefacts."""
