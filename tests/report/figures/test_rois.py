"""Which RoIs the report shows, and the ground truth beside their maps."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bcnet.data.masks.encoded_masks import EncodedMasks
from bcnet.data.masks.segmentation import encode
from bcnet.drawing.roi_maps import heat_map
from bcnet.files import InputError
from bcnet.inference.detect import Detections
from bcnet.params import methods
from bcnet.params.models import Predict
from bcnet.report.figures import rois
from bcnet.weights.model_file import ModelFile

VARIANT = {"detector": "faster_rcnn", "backbone": "efficientnet_lite0", "method": "bcnet"}
PREDICT = Predict(short_side=40, max_side=60)


def block(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[top:bottom, left:right] = True
    return mask


def annotation(id_: int, mask: np.ndarray, cover: float, **more: object) -> dict:
    base = {"id": id_, "category_id": 4, "iscrowd": 0, "segmentation": encode(mask), "occluder": None}
    return base | {"occlusion": {"box_cover": cover}} | more


def value(uri: str, x: float, y: float) -> list[int]:
    """The colour of a square at a place of it, 0 to 1."""
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))
    return image[int(y * len(image)), int(x * len(image))].tolist()


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run `most_covered` on one picture and given detections: (category index, score, mask, box) each."""

    def run(annotations: list[dict], given: list[tuple], variant: dict | None = None) -> list:
        classes, scores, masks, boxes = zip(*given, strict=True) if given else ((), (), (), ())
        maps = {"occluder_mask": np.full((len(given), 28, 28), 0.3), "target_mask": np.full((len(given), 28, 28), 0.9)}
        detections = Detections(
            list(classes),
            list(scores),
            np.array(boxes, np.float32),
            EncodedMasks([encode(mask) for mask in masks], (40, 60)),
            maps,
        )
        model = ModelFile(None, methods.variant(**variant or VARIANT), PREDICT, [{"id": 9, "name": "a"}], {})
        model.categories.append({"id": 4, "name": "b"})
        monkeypatch.setattr(rois, "load_model", lambda path: model)
        monkeypatch.setattr(rois, "detect", lambda *_: detections)
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "a.png")
        image = {"id": 1, "file_name": "a.png", "width": 60, "height": 40}
        return rois.most_covered(tmp_path / "model", tmp_path, [(image, annotations)])

    return run


def test_the_most_covered_come_first_and_only_what_is_found(found) -> None:
    """Not found: too low a score, another category, an IoU below a half; a crowd counts as no object."""
    places = [block(x, y, x + 10, y + 10) for y in (0, 12, 24) for x in (0, 12, 24, 36)]
    covers = [0.1, 0.5, 0.5, 0.9, 0.8, 0.7, 0.2, 0.3, 0.35, 0.6, 0.45, 0.15]
    annotations = [annotation(20 - n, mask, covers[n]) for n, mask in enumerate(places)]
    annotations[9]["iscrowd"] = 1
    given = [(1, 0.9 - n / 100, mask, (0, 0, 10, 10)) for n, mask in enumerate(places)]
    given[3] = (1, 0.49, *given[3][2:])
    given[4] = (0, *given[4][1:])
    given[5] = (1, 0.9, block(12 + 4, 12, 22 + 4, 22), (0, 0, 10, 10))
    shown = found(annotations, given)
    # 0.5 twice, the lower id first; then 0.45, 0.35, 0.3, 0.2; not 0.15, 0.1
    assert [roi.annotation["id"] for roi, _ in shown] == [18, 19, 10, 12, 13, 14]
    assert shown[0][0].found.label == "b 0.88"


def test_the_truth_is_that_of_the_roi(found) -> None:
    """A RoI of which the right half is occluded and the target the lower half."""
    occluder = encode(block(30, 0, 60, 40))
    target = annotation(1, block(20, 20, 40, 30), 0.5, occluder=occluder)
    ((_, row),) = found([target], [(1, 0.9, block(20, 20, 40, 30), (20, 10, 40, 30))])
    names = ["RoI", "occluder mask", "true occluder", "target mask", "true target", "final mask"]
    assert list(row) == names
    off, on = heat_map(np.array([[0.0, 1.0]]))[0].tolist()
    assert [value(row["true occluder"], x, 0.5) for x in (0.1, 0.48, 0.52, 0.9)] == [off, off, on, on]
    assert [value(row["true target"], 0.5, y) for y in (0.1, 0.48, 0.52, 0.9)] == [off, off, on, on]
    assert value(row["occluder mask"], 0.5, 0.5) == heat_map(np.array([[0.3]]))[0, 0].tolist()


def test_an_object_without_an_occluder_has_an_empty_true_occluder(found) -> None:
    ((_, row),) = found(
        [annotation(1, block(20, 10, 40, 30), 0.0)], [(1, 0.9, block(20, 10, 40, 30), (20, 10, 40, 30))]
    )
    assert {tuple(value(row["true occluder"], x, y)) for x in (0.1, 0.9) for y in (0.1, 0.9)} == {(0, 0, 3)}


def test_a_variant_of_whole_objects_is_compared_with_whole_objects(found) -> None:
    whole, occluder = block(20, 10, 40, 30), encode(block(20, 10, 30, 30))
    amodal = {"amodal_segmentation": encode(whole), "amodal_occluder": occluder, "amodal_bbox": [20, 10, 20, 20]}
    target = annotation(1, block(36, 10, 40, 30), 0.8, **amodal)
    given = [(1, 0.9, whole, (20, 10, 40, 30))]
    assert found([target], given) == []
    ((_, row),) = found([target], given, VARIANT | {"masks": "amodal"})
    on = heat_map(np.array([[1.0]]))[0, 0].tolist()
    assert value(row["true target"], 0.1, 0.5) == value(row["true occluder"], 0.1, 0.5) == on
    assert value(row["true occluder"], 0.9, 0.5) != on


def test_nothing_found_shows_nothing(found) -> None:
    assert found([annotation(1, block(20, 10, 40, 30), 0.0)], []) == []


def test_annotations_that_were_not_converted_are_named(found) -> None:
    target = annotation(7, block(20, 10, 40, 30), 0.5)
    del target["occluder"]
    with pytest.raises(InputError, match=r"a.png: its annotation 7 has no 'occluder': run `bcnet convert` first"):
        found([target], [])
