"""From another image
=====================

The same search, begun at another photograph. Of a robust network hardly a trace of the start is
left.
"""

import robust_reps_ext as rr
from robust_reps_ext.datasets.photographs import photographs

images = photographs(4, size=64)
result = rr.invert("photographs-robust", images[:2], start=images[2:], iterations=300)
figure = result.figure()

# %%
# See :doc:`/methods/inversion`.
