"""BCNet and the methods it is compared with: trained, evaluated and reported under one protocol.

What this module names is the interface for Python (docs/python.md). Each name is imported at its first use, so that
`import bcnet` waits for no other package and evaluation needs no PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bcnet.api.data import convert, evaluate, read_annotations
    from bcnet.api.models import Detections, ModelFile, draw_maps, draw_sheet, load_model, predict
    from bcnet.evaluation.measure import Evaluation
    from bcnet.files import InputError

__version__ = "0.2.0"

__all__ = [
    "Detections",
    "Evaluation",
    "InputError",
    "ModelFile",
    "convert",
    "draw_maps",
    "draw_sheet",
    "evaluate",
    "load_model",
    "predict",
    "read_annotations",
]

_MODULES = {
    **dict.fromkeys(("convert", "evaluate", "read_annotations"), "bcnet.api.data"),
    **dict.fromkeys(
        ("Detections", "ModelFile", "draw_maps", "draw_sheet", "load_model", "predict"), "bcnet.api.models"
    ),
    "Evaluation": "bcnet.evaluation.measure",
    "InputError": "bcnet.files",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
