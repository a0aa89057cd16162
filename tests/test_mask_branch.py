"""What the mask branch leaves in the instances of each picture at test time."""

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from bcnet.models.mask_branch import RoIMaskBranch

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
    RoIMaskBranch(Fixed(), lambda *_: {}).eval()(features, pictures)
    for found, rois in zip(pictures, [slice(0, 2), slice(2, 2), slice(2, 3)], strict=True):
        for index, name in enumerate(MAPS):
            expected = 1 / (1 + torch.exp(-features[rois, index : index + 1].double()))
            torch.testing.assert_close(found.get(name).double(), expected, rtol=0, atol=1e-6)
        assert torch.equal(found.pred_masks, found.target_mask)
