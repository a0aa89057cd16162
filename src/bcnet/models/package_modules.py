"""Modules of a package that is not imported itself."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec


@contextmanager
def without_init(package: str) -> Iterator[None]:
    """Within it, the package's modules can be imported although its `__init__` has not run.

    detectron2's `projects.point_rend` is why: its `__init__` also imports a colour augmentation, and with it OpenCV,
    which nothing here needs. Afterwards the package can be imported as ever.
    """
    spec = find_spec(package)
    if spec is None or package in sys.modules:  # not installed, which the import inside says; or imported already
        yield
        return
    sys.modules[package] = module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules[package]
