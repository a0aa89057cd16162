"""What the mask branch leaves in the instances of each picture at test time; and its losses where there is no RoI."""

import pytest
import torch
from detectron2.structures import Boxes, Instances
from model_factory import PREDICT, SIZES, as_they_are, build, item
from torch import Tensor, nn

from bcnet.models.masks.roi_mask_branch import RoIMaskBranch
from bcnet.params import methods

MAPS = ["target_mask", "occluder_mask", "occluder_contour", "target_contour"]


class Fixed(nn.Module):
    """The features' first channels as the four maps, in an order in which the target mask is not the last."""

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return {name: features[:, index : index + 1] for index, name in enumerate(MAPS)}


def test_every_map_is_a_field_of_probabilities_of_its_pictures_instances() -> None:
    features = torch.randn(3, 4, 28, 28, generator=torch.Generator().manual_seed(0))
    pictures = [Instances((64, 64)) for _ in range(3)]
    for found, number in zip(pictures, [2, 0, 1], strict=True):
        found.pred_boxes = Boxes(torch.zeros(number, 4))
        found.pred_classes = torch.zeros(number, dtype=torch.long)
    RoIMaskBranch(as_they_are, Fixed(), lambda *_: {}).eval()({"p2": features}, pictures)
    for found, rois in zip(pictures, [slice(0, 2), slice(2, 2), slice(2, 3)], strict=True):
        for index, name in enumerate(MAPS):
            expected = 1 / (1 + torch.exp(-features[rois, index : index + 1].double()))
            torch.testing.assert_close(found.get(name).double(), expected, rtol=0, atol=1e-6)
        assert torch.equal(found.pred_masks, found.target_mask)


@pytest.mark.parametrize("method", ["mask_rcnn", "bcnet", "pointrend"])
@pytest.mark.parametrize("others", [0, 1])
def test_a_picture_without_an_object_has_no_part_in_the_losses(method: str, others: int) -> None:
    """Without any other picture they are zero; every parameter has a gradient, which several processes need."""
    torch.manual_seed(0)
    variant = methods.variant(detector="faster_rcnn", backbone="efficientnet_lite0", method=method)
    model = build(variant, SIZES, PREDICT, 3).train()
    empty = item()
    empty["instances"] = empty["instances"][:0]
    losses = model([empty, *[item()] * others])
    torch.stack(list(losses.values())).sum().backward()
    of_detector = {"loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg"}
    of_masks = [float(losses[name].detach()) for name in losses.keys() - of_detector]
    assert len(of_masks) == {"mask_rcnn": 1, "bcnet": 4, "pointrend": 2}[method]
    assert all(loss > 0 for loss in of_masks) if others else not any(of_masks)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, each in gradients.items() if each is None or not torch.isfinite(each).all()] == []
