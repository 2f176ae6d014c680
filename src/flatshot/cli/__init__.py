"""The only room that reads argv, prints and exits."""
