"""Masks that RoIs share, against detectron2's, of which every RoI has a copy."""

import pytest
import torch
from detectron2.structures import BitMasks, Instances

from bcnet.models.masks.object_masks import ObjectMasks

MASKS = torch.rand(3, 40, 60, generator=torch.Generator().manual_seed(0)) > 0.5
CHOSEN = torch.tensor([2, 0, 0, 1, 2])


@pytest.mark.parametrize(
    "item",
    [CHOSEN, slice(1, 3), 1, -1, torch.tensor([True, False, True]), torch.zeros(0, dtype=torch.long)],
    ids=["places", "slice", "one", "last", "bools", "none"],
)
def test_a_selection_is_detectron2s(item: object) -> None:
    ours, theirs = ObjectMasks(MASKS)[item], BitMasks(MASKS)[item]
    assert len(ours) == len(theirs)
    assert ours.image_size == theirs.image_size
    assert torch.equal(ours.tensor, theirs.tensor)
    assert ours.objects.data_ptr() == MASKS.data_ptr()  # shared


def test_crops_of_a_selection_of_a_selection_are_detectron2s() -> None:
    foreground = torch.tensor([4, 1, 3])
    boxes = torch.tensor([[3.2, 4, 30, 25.5], [-5, -3, 20, 70], [10, 10, 10.3, 10.2]])
    ours, theirs = (kind(MASKS)[CHOSEN][foreground].crop_and_resize(boxes, 28) for kind in (ObjectMasks, BitMasks))
    assert ours.any()
    assert torch.equal(ours, theirs)
    assert ObjectMasks(MASKS)[CHOSEN[:0]].crop_and_resize(boxes[:0], 28).shape == (0, 28, 28)


def test_they_are_fields_of_instances() -> None:
    of_picture = Instances((40, 60), gt_masks=ObjectMasks(MASKS)).to("cpu")[CHOSEN]
    together = Instances.cat([of_picture, of_picture[:1]])
    assert torch.equal(together.gt_masks.tensor, MASKS[[2, 0, 0, 1, 2, 2]])
    assert together.gt_masks.nonempty().all()
    assert torch.equal(
        of_picture.gt_masks.get_bounding_boxes().tensor, BitMasks(MASKS[CHOSEN]).get_bounding_boxes().tensor
    )
