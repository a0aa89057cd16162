"""Methods: a module each, which puts a `models.segmenter.Segmenter` together from the parts in `models`.

A method is a module of this folder and an entry in the table `params.methods.METHODS`. The module has `build(spec)`.
Where official models of the method can be imported, it has `OFFICIAL_NAMES` as well, or what the entry calls the table:
beginnings of the names of their tensors, and of ours in their place.
"""

from importlib import import_module

from bcnet.models.segmenter import Segmenter, Spec
from bcnet.params.methods import METHODS
from bcnet.params.variants import Variant


def build(spec: Spec[Variant]) -> Segmenter:
    """A variant's model with random weights."""
    model: Segmenter = import_module(METHODS[spec.variant.method].module).build(spec)
    return model
