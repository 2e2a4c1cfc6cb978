"""How far an image must go
===========================

Within a ball of each radius around one image, the nearest that a network's representation comes
to that of another. The robust network, trained against a radius of 4, stays off until far beyond
it.
"""

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.results.plots import Line, curve_figure

images = critters.draw(6, seed=2).images / 255
radii = (1, 2, 4, 8, 16)
lines = []
for name in ("robust", "standard"):
    curve = rr.invert_within(f"critters-{name}", images[:3], images[3:], radii=radii, iterations=30)
    distance = curve.distance
    lines.append(Line(distance.mean(1), distance.amin(1), distance.amax(1), name))

figure = curve_figure(radii, lines, mark=(4.0, "trained against"))

# %%
# Lines are means of three pairs, bands their range. See :doc:`/methods/invert-within`.
