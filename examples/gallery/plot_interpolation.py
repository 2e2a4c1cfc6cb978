"""Between two images
=====================

Images whose representations lie between those of two cats. Above is the blend of the pixels, which
each search began with, and which shows both. As no image has the representation half way, the
distance that is left is large; the steps of the paper keep such images free of the saturated
colours that a faster search would fill them with.
"""

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters

cats = critters.draw(2, seed=7, classes=[critters.CLASSES.index("cat")]).images / 255
between = rr.interpolate(
    "critters-robust", cats[:1], cats[1:], steps=4, iterations=60, schedule="paper"
)
figure = between.figure()

# %%
# See :doc:`/methods/interpolation`.
