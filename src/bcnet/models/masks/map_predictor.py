"""The last layers of a mask head: from the features of RoIs to maps of twice the resolution."""

import fvcore.nn.weight_init as weight_init
from torch import Tensor, nn
from torch.nn import functional as F


class Predictor(nn.Module):
    """From a layer's features to maps of twice the resolution: transposed convolution, ReLU, 1x1 convolution."""

    def __init__(self, channels: int, maps: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)
        self.predict = nn.Conv2d(channels, maps, kernel_size=1)
        weight_init.c2_msra_fill(self.upsample)
        nn.init.normal_(self.predict.weight, std=0.001)
        nn.init.constant_(self.predict.get_parameter("bias"), 0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, maps, 2H, 2W).

        The kernel is as large as its stride, so each position becomes 2x2 others on its own: a 1x1 convolution to four
        times the channels gives the same in a third of the time on a CPU, since only the finished maps are rearranged.
        """
        n, c, h, w = x.shape
        weight = self.upsample.weight.permute(2, 3, 1, 0).reshape(4 * c, c, 1, 1)  # rows: 2x2, then output channels
        wide = F.conv2d(x, weight, self.upsample.get_parameter("bias").repeat(4)).relu()
        positions = wide.permute(0, 2, 3, 1).reshape(n * h * w, 4, c)
        maps = F.linear(positions, self.predict.weight.flatten(1), self.predict.bias)
        count = self.predict.out_channels
        return maps.view(n, h, w, 2, 2, count).permute(0, 5, 1, 3, 2, 4).reshape(n, count, 2 * h, 2 * w)
