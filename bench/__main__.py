"""`python -m bench`: all tables, those that need real data where FLATSHOT_TEST_DATA names it."""

import os

from bench import conversion, evaluation, runtime


def main() -> None:
    """Print all tables."""
    conversion.main()
    if "FLATSHOT_TEST_DATA" not in os.environ:
        print("\nThe other tables need real data: set FLATSHOT_TEST_DATA to its folder.")
        return
    runtime.main()
    evaluation.main()


if __name__ == "__main__":
    main()
