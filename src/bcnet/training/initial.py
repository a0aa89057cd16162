"""The weights that a training starts with."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bcnet.files import InputError, readable

BACKBONE = "backbone.bottom_up"  # of every model, below its pyramid
COUNTER = ".num_batches_tracked"  # of norms: nothing reads it


def load_backbone(model: nn.Module, weights: Path) -> None:
    """Load ImageNet weights, as `bcnet weights` writes them, into the backbone below the pyramid.

    Raises:
        InputError: not a safetensors file, or a tensor is missing, left over, or of another shape.
    """
    try:
        model.get_submodule(BACKBONE).load_state_dict(_read(weights))
    except RuntimeError as error:
        raise InputError(f"{weights}: {' '.join(str(error).split())}") from error


def load_what_fits(model: nn.Module, weights: Path) -> str:
    """Load another model's weights, as `bcnet weights --name` writes them, into the layers of the same name and shape.

    A layer is taken as a whole or not at all. The backbone must fit; other layers keep the weights that they have,
    such as heads of another number of categories, or those of another method.

    Returns:
        How many layers were taken and which were not; of modules that have none that was, the module.

    Raises:
        InputError: not a safetensors file, or a layer of the backbone is missing or of another shape.
    """
    tensors, own = _read(weights), model.state_dict()
    layers: defaultdict[str, list[str]] = defaultdict(list)
    for name in own:
        layers[name.rpartition(".")[0]].append(name)
    anew = [layer for layer, names in layers.items() if not all(_fits(name, own, tensors) for name in names)]
    if of_backbone := [layer for layer in anew if layer.startswith(f"{BACKBONE}.")]:
        raise InputError(f"{weights}: {of_backbone[0]}: missing or of another shape, expected all of the backbone's")
    left = set(anew)
    taken = {name for layer, names in layers.items() if layer not in left for name in names if name in tensors}
    model.load_state_dict({name: tensors[name] for name in taken}, strict=False)
    said = [f"{len(layers) - len(anew)} of {len(layers)} layers taken"]
    said += [f"anew: {', '.join(_modules(anew, layers))}"] if anew else []
    unused = _layers_of(tensors.keys() - taken)
    said += [f"not used: {', '.join(_modules(unused, _layers_of(tensors)))}"] if unused else []
    return "; ".join(said)


def _layers_of(names: Iterable[str]) -> list[str]:
    """The layers that tensors of these names are of, in order."""
    return sorted({name.rpartition(".")[0] for name in names})


def _fits(name: str, own: dict[str, Tensor], tensors: dict[str, Tensor]) -> bool:
    return name.endswith(COUNTER) or (name in tensors and tensors[name].shape == own[name].shape)


def _modules(chosen: Collection[str], layers: Collection[str]) -> list[str]:
    """Names of modules whose layers are all chosen, none below another, in order.

    Args:
        chosen: some of `layers`.
        layers: names of layers, such as "roi_heads.mask_head.deconv".
    """
    wanted, result = set(chosen), dict[str, None]()
    for layer in layers:
        if layer in wanted:
            parts = layer.split(".")
            above = (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
            result[next(module for module in above if _below(module, layers) <= wanted)] = None
    return list(result)


def _below(module: str, layers: Collection[str]) -> set[str]:
    return {layer for layer in layers if layer == module or layer.startswith(f"{module}.")}


def _read(weights: Path) -> dict[str, Tensor]:
    try:
        with readable(weights):
            return load_file(weights)
    except SafetensorError as error:
        raise InputError(f"{weights}: {' '.join(str(error).split())}") from error
