"""What stands between a stranger's model and LiteRT, which checks less than it reads."""
