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
    # channels-last gradients of 1x1 convolutions, which DistributedDataParallel takes for ones of another layout
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides", category=UserWarning)
    warnings.filterwarnings("ignore", message="torch.meshgrid: in an upcoming release", category=UserWarning)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
