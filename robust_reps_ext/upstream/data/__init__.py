"""From folders and image files to batches on the device."""
