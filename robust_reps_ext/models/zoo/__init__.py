"""Networks by name: bundled, public, downloaded, from torchvision and timm."""
