"""What a representation keeps
==============================

Starting from noise, find images that a network represents as it does the photographs of the first
row. Of the robust network they show the same things, of the standard one noise with traces of them.
"""

import robust_reps_ext as rr
from robust_reps_ext.datasets.photographs import photographs
from robust_reps_ext.results.figures import Row, image_grid

targets = photographs(3, size=64)
robust = rr.invert("photographs-robust", targets, iterations=300)
standard = rr.invert("photographs-standard", targets, iterations=300)

figure = image_grid(
    [
        Row(targets, "target"),
        Row(robust.images, "robust", [f"{d:.2g}" for d in robust.objective.tolist()]),
        Row(standard.images, "standard", [f"{d:.2g}" for d in standard.objective.tolist()]),
    ]
)

# %%
# Under each image stands its relative distance in R. :doc:`/methods/inversion` says more.
