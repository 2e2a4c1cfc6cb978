"""What stands between a folder of images and a batch: reading, bad images, labels."""
