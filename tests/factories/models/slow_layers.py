"""Layers of mask heads written out in numpy and float64, one kernel position after the other."""

import numpy as np
from torch import nn

from bcnet.models.masks.map_predictor import Predictor


def convolve(x: np.ndarray, layer: nn.Conv2d) -> np.ndarray:
    """(C, H, W) by a convolution that keeps the size but for its stride."""
    weight = layer.weight.detach().numpy()
    pad, stride = weight.shape[-1] // 2, layer.stride[0]
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    height, width = (-(-side // stride) for side in x.shape[1:])
    out = np.zeros((len(weight), height, width))
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            seen = padded[:, i : i + stride * height : stride, j : j + stride * width : stride]
            out += np.einsum("oc,chw->ohw", weight[:, :, i, j], seen)
    return out + (0 if layer.bias is None else layer.bias.detach().numpy()[:, None, None])


def predict(x: np.ndarray, predictor: Predictor) -> np.ndarray:
    """(C, H, W) to (maps, 2H, 2W)."""
    upsample, last = predictor.upsample, predictor.predict
    weight = upsample.weight.detach().numpy()  # (in, out, 2, 2)
    out = np.zeros((weight.shape[1], 2 * x.shape[1], 2 * x.shape[2]))
    for i in range(2):
        for j in range(2):
            out[:, i::2, j::2] = np.einsum("co,chw->ohw", weight[:, :, i, j], x)
    return convolve(np.maximum(out + upsample.bias.detach().numpy()[:, None, None], 0), last)


def normalise(x: np.ndarray, norm: nn.GroupNorm) -> np.ndarray:
    """(C, H, W) by GroupNorm, group after group."""
    out = np.empty_like(x)
    for channels in np.split(np.arange(len(x)), norm.num_groups):
        values = x[channels]
        out[channels] = (values - values.mean()) / np.sqrt(values.var() + norm.eps)
    weight, bias = (tensor.detach().numpy()[:, None, None] for tensor in (norm.weight, norm.bias))
    return out * weight + bias


def normalised(x: np.ndarray, layers: nn.Sequential) -> np.ndarray:
    """(C, H, W) by a convolution, GroupNorm and ReLU."""
    convolution, norm, _ = layers
    return np.maximum(normalise(convolve(x, convolution), norm), 0)
