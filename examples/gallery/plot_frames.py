"""How an inverse comes about
==========================

With ``frames=16`` a run keeps the image at 16 of its steps, more of the first ones, where it
changes fast. `robust_reps_ext.Player` plays them.
"""

import robust_reps_ext as rr
from robust_reps_ext.datasets.photographs import photographs
from robust_reps_ext.results.figures import Row, image_grid

targets = photographs(2, size=64)
result = rr.invert("photographs-robust", targets, iterations=60, frames=16)

rr.Player(result)

# %%
# The same as rows of images, for print:

frames = result.frames[::3] / 255
steps = [f"step {step}" for step in result.frame_steps[::3].tolist()]
figure = image_grid([Row(frames[:, i], captions=steps) for i in range(len(targets))])

# %%
# ``rr.Player(result).save("inverse.gif")`` is for slides, ``save("inverse.html")`` a page by
# itself. See :doc:`/methods/inversion`.
