"""What a model finds becomes encoded masks, a few at a time, the same as all at once."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bcnet.data.masks.segmentation import decode
from bcnet.inference import detect as detecting
from bcnet.inference.detect import detect
from bcnet.models.detections import Detected, ImageMaps, RoIMaps
from bcnet.params.models import Predict

PICTURE = np.zeros((40, 60, 3), np.uint8)


def model_of(detected: Detected, *, occluders: bool = False) -> SimpleNamespace:
    """A model that finds this in any picture."""
    return SimpleNamespace(
        module=SimpleNamespace(detect=lambda _views, _size: detected),
        predict=Predict(short_side=40, max_side=60, occluders=occluders),
        variant=SimpleNamespace(backbone="efficientnet_lite0"),
    )


@pytest.fixture
def found() -> Detected:
    generator = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[3.0, 4, 30, 36], [0, 0, 60, 40], [50.5, 2, 58, 20], [5, 5, 9, 9.5], [20, 1, 44, 12]])
    maps, occluder = torch.rand(2, 5, 1, 7, 7, generator=generator)
    scores = torch.linspace(0.9, 0.5, 5)
    return Detected(torch.arange(5), scores, boxes, RoIMaps(maps, boxes), {"occluder_mask": occluder})


@pytest.mark.parametrize("pasted", [1, 40 * 60, 2 * 40 * 60 + 1, 2**26])
def test_masks_a_few_at_a_time_are_those_all_at_once(
    pasted: int, found: Detected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detecting, "PASTED", pasted)
    together = []
    paste = RoIMaps.paste
    monkeypatch.setattr(RoIMaps, "paste", lambda masks, size: together.append(len(masks.maps)) or paste(masks, size))
    detections = detect(model_of(found, occluders=True), PICTURE)
    most = max(1, pasted // (40 * 60))
    assert together == 2 * [min(most, 5 - start) for start in range(0, 5, most)]  # the masks, then the occluders'
    masks = paste(found.masks, (40, 60)).numpy()
    assert masks.any((1, 2)).all()
    np.testing.assert_array_equal(np.asarray(detections.masks), masks)
    occluders = paste(RoIMaps(found.maps["occluder_mask"], found.boxes), (40, 60)).numpy()
    np.testing.assert_array_equal(np.asarray(detections.occluders), occluders)


def test_a_mask_is_an_array_when_it_is_asked_for(found: Detected) -> None:
    masks = detect(model_of(found), PICTURE).masks
    expected = found.masks.paste((40, 60)).numpy()
    assert len(masks) == 5
    np.testing.assert_array_equal(masks[3], expected[3])
    np.testing.assert_array_equal(masks[-1], expected[-1])
    np.testing.assert_array_equal(np.stack(list(masks[1:3])), expected[1:3])
    assert decode(masks.rles[0], 40, 60).dtype == masks[0].dtype == np.asarray(masks).dtype == bool
    assert np.asarray(masks, np.uint8).dtype == np.uint8
    with pytest.raises(IndexError):
        masks[5]


def test_nothing_found() -> None:
    none = torch.zeros(0, 4)
    for boxes, masks in (
        (none, RoIMaps(torch.zeros(0, 1, 7, 7), none)),
        (None, ImageMaps(torch.zeros(0, 4, 6), 1, (4, 6))),
    ):
        detections = detect(model_of(Detected(torch.zeros(0).long(), torch.zeros(0), boxes, masks)), PICTURE)
        assert np.asarray(detections.masks).shape == (0, 40, 60)
        assert detections.boxes.shape == (0, 4)


def test_detections_without_boxes_get_those_around_their_masks() -> None:
    """One whose mask has no pixel in the picture is left out."""
    maps = torch.zeros(3, 40, 60)
    maps[0, 10:30, 20:50], maps[2, 39, 0] = 1, 1
    found = Detected(torch.tensor([4, 5, 6]), torch.tensor([0.9, 0.8, 0.7]), None, ImageMaps(maps, 1, (40, 60)))
    detections = detect(model_of(found), PICTURE)
    assert detections.classes == [4, 6]
    assert detections.scores == torch.tensor([0.9, 0.7]).tolist()
    assert detections.boxes.tolist() == [[20, 10, 50, 30], [0, 39, 1, 40]]
    np.testing.assert_array_equal(np.asarray(detections.masks), maps[[0, 2]].numpy() > 0.5)
