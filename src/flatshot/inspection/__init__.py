"""What a file is, and what it holds: one module a kind."""
