"""BCNet and the methods it is compared with: trained, evaluated and reported under one protocol."""

import hashlib
import logging
import os
import warnings
from pathlib import Path

__version__ = "0.1.0"

# Compiled code is kept by the text of all that is compiled: numba compiles a function anew only where its own file has
# changed, and would go on with the old code of those that it calls from others.
_package = Path(__file__).parent
_compiled = b"".join(text for path in sorted(_package.rglob("*.py")) if b"@njit" in (text := path.read_bytes()))
_folder = _package / "__pycache__" / f"numba-{hashlib.sha256(_compiled).hexdigest()[:16]}"
os.environ["NUMBA_CACHE_DIR"] = str(_folder)  # before numba is imported

# What detectron2 makes torch say at every start concerns nobody here.
warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated", category=FutureWarning)
warnings.filterwarnings("ignore", message="torch.meshgrid: in an upcoming release", category=UserWarning)
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)
