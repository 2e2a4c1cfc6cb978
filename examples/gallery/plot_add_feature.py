"""A feature put into an image
==============================

A coordinate is raised until it is larger than all others, and no further: this one after 22 to 33
steps. It is of a corner of the image.
"""

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters

images = critters.draw(4, seed=5).images / 255
added = rr.add_feature("critters-robust", images, coordinate=3)
figure = added.figure()

# %%
# See :doc:`/methods/feature-addition`.
