"""What each layer takes for the same
=====================================

Metamers of each stage of a network: the deeper the layer, the less of the image it holds on to.
"""

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters

targets = critters.draw(3, seed=1).images / 255
others = critters.draw(24, seed=2).images / 255
found = rr.metamers("critters-robust", targets, layers="all", data=others, pairs=200, iterations=40)
figure = found.figure()

# %%
# The table says which of them are proved: see :doc:`/metamers`.
print(found.to_frame().head())
