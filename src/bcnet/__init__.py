"""BCNet and the methods it is compared with: trained, evaluated and reported under one protocol."""

import logging
import warnings

__version__ = "0.1.0"

# What detectron2 makes torch say at every start concerns nobody here.
warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated", category=FutureWarning)
warnings.filterwarnings("ignore", message="torch.meshgrid: in an upcoming release", category=UserWarning)
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)
