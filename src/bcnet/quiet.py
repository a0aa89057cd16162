"""What other packages say at every start and no user of the program can do anything about."""

import logging
import warnings

LOGGERS = (
    "torch.fx._symbolic_trace",
    # It warns that it will convert tensors without PyTorch's metadata; `import-weights` has done so where it is needed.
    "detectron2.projects.point_rend.mask_head",
)


def quiet() -> None:
    """Silence it in this process. Only the program does so: a process that imports the package has rules of its own."""
    warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated", category=FutureWarning)
    warnings.filterwarnings("ignore", message="torch.meshgrid: in an upcoming release", category=UserWarning)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
