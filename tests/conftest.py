"""What several tests share."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side: torch's threads would wait for each other

import hypothesis

hypothesis.settings.register_profile("bcnet", deadline=None)  # what is compiled at its first use takes a second then
hypothesis.settings.load_profile("bcnet")
