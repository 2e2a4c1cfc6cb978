"""What a coordinate stands for
===============================

One coordinate of R(x), whose number stands above, is made as large as can be, from two drawn
animals. It has its place in the image, and what it adds there is the same from both.
"""

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters

seeds = critters.draw(2, seed=4).images / 255
features = rr.visualize("critters-robust", coordinates=[3, 50, 700], seeds=seeds, iterations=60)
figure = features.figure()

# %%
# See :doc:`/methods/visualization`.
