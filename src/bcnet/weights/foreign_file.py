"""Model files of other programs as tensors by name: `.pkl` of detectron2's model zoo, and what `torch.save` writes."""

import hashlib
import pickle
import re
import struct
import warnings
import zipfile
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from torch import Tensor

from bcnet.data.sources.download import RemoteFile, download
from bcnet.files import InputError, readable
from bcnet.weights.imagenet import NOT_A_PICKLE, unpickle
from bcnet.weights.programs import program_of_keys

MODEL = ("model", "state_dict")  # under what checkpoints have their tensors: detectron2's, mmdetection's
# What lies beside the tensors in checkpoints of detectron2, of the released code, of mmdetection and of
# Detectron.pytorch, and does nothing at test time.
EXTRAS = {"optimizer", "scheduler", "iteration", "trainer", "__author__", "matching_heuristics", "meta"}
EXTRAS |= {"step", "train_size", "batch_size"}


def local_file(source: str, downloads: Path) -> Path:
    """The file itself, or for an http(s) URL its download, which is kept and found again.

    Nobody publishes checksums of such files; their names, shapes and numbers are checked when they are read.

    Raises:
        InputError: the download fails.
    """
    if not source.startswith(("http://", "https://")):
        return Path(source)
    name = Path(urlsplit(source).path).name  # many are called model_final.pth
    path = downloads / f"{hashlib.sha256(source.encode()).hexdigest()[:12]}-{name}"
    download(RemoteFile((source,)), path)
    return path


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The model's tensors of a file, without running anything that the file may contain.

    Args:
        path: a `.pkl` of numpy arrays; any other ending: a file of `torch.save`, `.pth`.

    Returns:
        Tensors on the CPU by the file's own names. Neither shapes nor numbers are checked.

    Raises:
        InputError: not such a file, or it holds more than tensors and the known `EXTRAS`.
    """
    content = unpickle(path) if path.suffix == ".pkl" else _load(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: it holds a {type(content).__name__}, expected a dict of tensors")
    if program := program_of_keys([key for key in content if isinstance(key, str)]):
        raise InputError(f"{path}: {program}")
    key = next((key for key in MODEL if key in content), None)
    if key and (unknown := sorted(map(str, content.keys() - EXTRAS - {key}))):
        raise InputError(f"{path}: {unknown[0]!r} beside {key!r}, known there: {', '.join(sorted(EXTRAS))}")
    model = content[key] if key else content
    if not isinstance(model, dict) or not model:
        raise InputError(f"{path}: {key or 'model'}: a {type(model).__name__}, expected a dict of tensors")
    return {str(name): _tensor(path, name, value) for name, value in model.items()}


def refuse_compressed(path: Path) -> None:
    """See that a zip archive holds no more than its own bytes, before anything of it is read.

    `torch.save` compresses nothing. A compressed archive of 4 MB may take 4 GB of memory.

    Raises:
        InputError: a member is compressed, or members share their bytes; or the archive is damaged.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                return  # what torch.save wrote before version 1.6 is no archive
            members = zipfile.ZipFile(file).infolist()
    except FileNotFoundError:
        return  # which is said when it is read
    except (OSError, zipfile.BadZipFile, RuntimeError, ValueError, struct.error) as error:
        raise InputError(f"{path}: not a file of torch.save: {error}") from error
    if any(PurePath(member.filename).name == "constants.pkl" for member in members):
        raise InputError(f"{path}: a TorchScript archive, a program: save its state_dict instead")
    larger = [member for member in members if member.compress_type != zipfile.ZIP_STORED]
    if larger or sum(member.file_size for member in members) > path.stat().st_size:
        size = sum(member.file_size for member in members) / 1e6
        which = f"{larger[0].filename} is compressed" if larger else "its members share bytes"
        raise InputError(f"{path}: {which}, {size:.0f} MB in all: torch.save compresses nothing")


def _load(path: Path) -> Any:
    refuse_compressed(path)
    try:
        with readable(path), warnings.catch_warnings(action="ignore"):  # what torch has to say is said in one line
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch explains at length how to run the code all the same
        asks = re.search(r"GLOBAL (\S+)", str(error))
        why = f"it asks for {asks[1]}" if asks else "it is damaged"
        raise InputError(f"{path}: not a file of tensors and plain values: {why}") from error
    except (*NOT_A_PICKLE, RuntimeError, AssertionError) as error:
        if "TorchScript" in str(error):
            raise InputError(f"{path}: a TorchScript archive, a program: save its state_dict instead") from error
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: not a file of torch.save: {why}") from error


def _tensor(path: Path, name: Any, value: Any) -> Tensor:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return torch.from_numpy(np.array(value, value.dtype.newbyteorder("=")))
    if not isinstance(value, Tensor) or value.device.type != "cpu" or value.layout != torch.strided:
        raise InputError(f"{path}: {name}: a {type(value).__name__}, expected a dense tensor of numbers")
    return value.detach()
