"""`python -m bcnet`: the same program as `bcnet`, for torchrun."""

import sys


def run() -> int:
    """The program; Ctrl-C while it still starts ends in a line, as later."""
    try:
        from bcnet.cli import main

        return main()
    except KeyboardInterrupt:
        print("bcnet: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(run())
