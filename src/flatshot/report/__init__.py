"""Records and results to pages: what was measured, seen. Nothing here measures anything."""
