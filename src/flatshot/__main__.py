"""`python -m flatshot` is the `flatshot` command."""

from flatshot.cli.main import main

main()
