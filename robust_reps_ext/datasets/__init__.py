"""The images that the experiments run on: Restricted ImageNet, critters and test patterns."""
