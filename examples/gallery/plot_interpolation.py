"""Between two images
=====================

Images whose representations lie evenly between two. Above is the blend of the pixels, which each
search began with.
"""

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters

images = critters.draw(2, seed=3).images / 255
between = rr.interpolate("critters-robust", images[:1], images[1:], steps=4, iterations=60)
figure = between.figure()

# %%
# See :doc:`/methods/interpolation`.
