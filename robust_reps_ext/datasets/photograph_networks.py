"""Networks for photographs of 32 to 128 pixels that are worth looking into."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .small_network import SmallNetwork

__all__ = ["ARCHITECTURES", "PhotographsResNet"]


def _halved() -> nn.Module:
    """Half the size, by averages over 4x4 pixels.

    They see every pixel alike, and neither of the patterns that halving would fold onto others
    (periods of two and four pixels), so that nothing synthesised is filled with them.
    """
    return nn.AvgPool2d(4, stride=2, padding=1, count_include_pad=False)


class _Block(nn.Module):
    """Two convolutions beside a shortcut; the last activation is left to the caller."""

    def __init__(self, in_channels: int, between: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, between, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(between)
        self.act = nn.SiLU()
        self.conv2 = nn.Conv2d(between, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.act(self.bn1(self.conv1(x))))) + self.shortcut(x)


class PhotographsResNet(SmallNetwork):
    """A ResNet of four stages, smooth but for the ReLU before its representation.

    Parameters
    ----------
    num_classes
        Number of classes.
    width
        Channels of the first stage; each stage has twice those of the one before it.
    depth
        Residual blocks in each stage.
    grid
        The representation has so many windows in a row and in a column: ``maps * grid ** 2``
        coordinates. At 64 pixels the last maps are 4 x 4, and the default takes them as they are:
        averages over fewer windows leave less to say where things were. In a robust network that
        costs little of an inverse, in a standard one more (docs/photographs.md).
    maps
        Channels of the representation; by default those of the last stage, ``8 * width``. The last
        convolution makes them, so that more of them cost little time.
    """

    def __init__(
        self,
        num_classes: int = 59,
        width: int = 32,
        depth: int = 1,
        grid: int = 4,
        maps: int | None = None,
    ) -> None:
        super().__init__()
        self.grid = grid
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            _halved(),
        ]
        channels = width
        for stage in range(4):
            if stage:
                layers += [nn.SiLU(), _halved()]
            for block in range(depth):
                if block:
                    layers.append(nn.SiLU())
                between = out = width * 2**stage
                if stage == 3 and block == depth - 1 and maps is not None:
                    out = maps
                layers.append(_Block(channels, between, out))
                channels = out
        self.body = nn.Sequential(*layers)
        self.fc = nn.Linear(grid * grid * channels, num_classes)


def photographs_resnet(num_classes: int = 59) -> PhotographsResNet:
    """1.5 million parameters, a representation of 4096 coordinates."""
    return PhotographsResNet(num_classes)


def photographs_resnet_wide(num_classes: int = 59) -> PhotographsResNet:
    """2.1 million parameters, a representation of 4608 coordinates."""
    return PhotographsResNet(num_classes, grid=3, maps=512)


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "photographs_resnet": photographs_resnet,
    "photographs_resnet_wide": photographs_resnet_wide,
}
"""Name on the command line (``--arch``) -> network, called with ``num_classes=``."""
