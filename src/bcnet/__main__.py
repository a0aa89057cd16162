"""`python -m bcnet`: the same program as `bcnet`, for torchrun."""

import sys

from bcnet.cli import main

sys.exit(main())
