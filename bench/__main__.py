"""`python -m bench`: all tables; some rows need real data, where FLATSHOT_TEST_DATA names it."""

import os

from bench import conversion, evaluation, runtime, sweeping


def main() -> None:
    """Print all tables."""
    conversion.main()
    runtime.main()
    if "FLATSHOT_TEST_DATA" in os.environ:
        evaluation.main()
        sweeping.main()
    else:
        print("\nthe benchmark loop: needs real data: set FLATSHOT_TEST_DATA to its folder")


if __name__ == "__main__":
    main()
