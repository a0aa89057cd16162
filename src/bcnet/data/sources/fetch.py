"""Fetch: a dataset, or predictions that a user brings, made ready below data/ in COCO layout."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bcnet import layout
from bcnet.data.coco import annotation_file, prediction_file, prediction_format
from bcnet.data.sources import coco2017, cocoa, cocoa_cls, kins
from bcnet.data.sources.image_folders import link_pictures, own_folder
from bcnet.data.sources.image_hashes import hash_images
from bcnet.data.sources.parts import check_categories, note_shared_images, read_visible
from bcnet.data.synthetic import shapes
from bcnet.files import InputError, read_json, sha256, write_json
from bcnet.layout import BROUGHT, PARTS, TEST, DatasetFiles
from bcnet.params.data import Coco, Dataset, Files, Part, Shapes
from bcnet.params.results import Brought

READERS = {
    "files": read_visible,
    "kins": kins.read,
    "cocoa": cocoa.read,
    "cocoa_cls": cocoa_cls.read,
}  # source -> what reads a user's annotations


def fetch(dataset: Dataset, name: str, folder: Path) -> str:
    """Make a dataset ready: annotations and images of train and val, and the images' hashes.

    Made pictures are generated, COCO is downloaded beside `folder`, a user's own files and an existing
    COCO folder are checked and their picture folders linked. Nothing of a user's is changed.

    Args:
        dataset: from params.yaml.
        name: its key there.
        folder: where it goes, data/NAME.

    Returns:
        What was written, for people.

    Raises:
        InputError: the first thing that is wrong with the user's files, or a download that fails.
    """
    files, keys = DatasetFiles(folder), f"datasets.{name}.{{part}}.{{key}}"
    match dataset:
        case Files():
            _link_parts({part: getattr(dataset, part) for part in PARTS}, files, READERS[dataset.source], keys)
        case Coco(folder=Path() as root):
            own = {part: coco2017.own_part(root, part) for part in PARTS}
            parts = {part: Part(annotations=annotations, images=images) for part, (annotations, images) in own.items()}
            _link_parts(parts, files, annotation_file.read, f"datasets.{name}.folder")
        case Coco():
            coco2017.download_parts(dataset, folder, PARTS)
        case Shapes():
            for part in PARTS:
                own_folder(files.images(part))
            shapes.generate(dataset, folder)
    said = ", ".join(_hash(part, files) for part in PARTS)
    note_shared_images(files, *PARTS)
    return f"wrote {folder}: {said}"


def fetch_test(dataset: Dataset, name: str, folder: Path) -> str:
    """Make the part test of a user's dataset ready, or COCO's test pictures and the list of those of test-dev.

    A user's pictures are compared with those of train and val, if these are fetched.

    Args:
        dataset: from params.yaml.
        name: its key there.
        folder: where it goes, data/NAME.

    Returns:
        What was written, for people.

    Raises:
        InputError: a dataset that has neither, or as `fetch` does.
    """
    match dataset:
        case Files(test=Part() as own):
            files, keys = DatasetFiles(folder), f"datasets.{name}.{{part}}.{{key}}"
            read = READERS[dataset.source]
            _link_parts({TEST: own}, files, read, keys, (dataset.train.annotations, read(dataset.train.annotations)))
            said = _hash(TEST, files)
            for part in PARTS:
                if files.image_hashes(part).exists():
                    note_shared_images(files, part, TEST)
            return f"wrote {folder}: {said}"
        case Files():
            raise InputError(f"params.yaml: datasets.{name}.test: missing: expected annotations and images")
        case Coco(folder=Path() as root):
            coco2017.link_test(root, folder)
        case Coco():
            coco2017.download_parts(dataset, folder, ("test",))
        case _:
            raise InputError(f"params.yaml: datasets.{name}.source: {dataset.source!r}: has no test images")
    return f"wrote {folder}: the images of test-dev"


def _link_parts(
    parts: dict[str, Part],
    files: DatasetFiles,
    read: Callable[[Path], dict[str, Any]],
    keys: str,
    first: tuple[Path, dict[str, Any]] | None = None,
) -> None:
    """Check a user's data, write its annotations, and link its picture folders, one part after the other.

    Their categories are those of `first`, an annotation file with its content; None: of the first part. `keys`: the
    key of params.yaml that says where they lie, with {part} and {key} in it.
    """
    for part, own in parts.items():
        if not own.annotations.exists():
            key = keys.format(part=part, key="annotations")
            raise InputError(f"{own.annotations}: cannot be read: No such file or directory: set {key} in params.yaml")
        if not own.images.is_dir():
            raise InputError(
                f"{own.images}: no such image folder: set {keys.format(part=part, key='images')} in params.yaml"
            )
        data = _read_part(part, own, files, read)
        first = first or (own.annotations, data)
        check_categories(first[0], first[1]["categories"], own.annotations, data["categories"])
        link_pictures(files.images(part), own.images, data["images"])
        write_json(files.annotations(part), data, keep_equal=True)


def _read_part(part: str, own: Part, files: DatasetFiles, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    out = files.annotations(part)
    if own.annotations.resolve() == out.resolve():
        raise InputError(f"{out}: fetch writes this file, keep your own annotations outside {files.folder}")
    return read(own.annotations)


def _hash(part: str, files: DatasetFiles) -> str:
    """Write the hashes of the images of a part whose annotations lie there; what the part has, for people."""
    content = read_json(files.annotations(part))
    hash_images(files, part, (image["file_name"] for image in content["images"]))
    return f"{len(content['images'])} images of {part} with {len(content['annotations'])} annotations"


def bring(brought: Brought, name: str, folder: Path) -> str:
    """Check predictions from elsewhere and store them, all of them, as ours are.

    Args:
        brought: from params.yaml.
        name: its key there.
        folder: the dataset they are of, data/DATASET, fetched.

    Returns:
        What was written, for people.

    Raises:
        InputError: not COCO's result format, or not of this dataset's val images and categories.
    """
    files = DatasetFiles(folder)
    truth = annotation_file.read(files.annotations("val"))
    found = prediction_file.read(brought.file, truth)
    out = files.run(name, BROUGHT).predictions()
    about = {"origin": BROUGHT, "name": name, "label": brought.label, "dataset": folder.name}
    write_json(layout.provenance(out), {**about, "file_sha256": sha256(brought.file)}, indent=True)
    write_json(out, prediction_format.entries(found, truth["images"]))
    return f"wrote {out}: {len(found)} predictions"
