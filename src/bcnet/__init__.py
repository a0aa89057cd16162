"""BCNet and the methods it is compared with: trained, evaluated and reported under one protocol."""

import atexit
import hashlib
import logging
import os
import shutil
import tempfile
import warnings
from pathlib import Path

__version__ = "0.1.0"


def _writable(*folders: Path) -> Path:
    """The first of the folders that can be made and written, else one that goes when the process ends."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    last = tempfile.mkdtemp(prefix="bcnet-")
    atexit.register(shutil.rmtree, last, ignore_errors=True)
    return Path(last)


# Compiled code is kept by the text of all that is compiled: numba compiles a function anew only where its own file has
# changed, and would go on with the old code of those that it calls from others. So too where the installation cannot be
# written: left alone, numba would then keep it in a folder of the user's that knows each file by its own text only, and
# without one end in an error.
_package = Path(__file__).parent
_compiled = b"".join(text for path in sorted(_package.rglob("*.py")) if b"@njit" in (text := path.read_bytes()))
_name = f"numba-{hashlib.sha256(_compiled).hexdigest()[:16]}"
_users = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
_folders = [_package / "__pycache__" / _name, *([_users / "bcnet" / _name] if _users.is_absolute() else [])]
os.environ["NUMBA_CACHE_DIR"] = str(_writable(*_folders))  # before numba is imported

# What detectron2 makes torch say at every start concerns nobody here.
warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated", category=FutureWarning)
warnings.filterwarnings("ignore", message="torch.meshgrid: in an upcoming release", category=UserWarning)
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)
