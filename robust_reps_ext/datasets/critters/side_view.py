"""Critters seen from the side, looking to the right.

Every number that may differ from one image to the next comes from `pose(name, low, high)`, which
draws and records it. Coordinates are those of `shapes`: about two units wide, y down.
"""

from __future__ import annotations

from .shapes import Ink, Points, Pose, Sketch, curve, ellipse, limb, moved, polygon, turned

__all__ = ["bird", "dog", "fish", "insect", "turtle"]


def dog(sketch: Sketch, pose: Pose) -> None:
    """From the side: long snout, hanging ear, four legs, a wagging tail."""
    stride, wag = pose("stride", -0.18, 0.18), pose("wag", -0.2, 0.25)
    nod, flop = pose("nod", -0.08, 0.12), pose("ear", -0.1, 0.12)
    rump, pant = -0.54 - pose("length", -0.06, 0.12), pose("tongue", 0.1, 0.2)

    def leg(x: float, swing: float) -> list[Points]:
        foot = x + swing
        return [
            limb((x, 0.1, 0.18), (x + 0.4 * swing, 0.42, 0.11), (foot, 0.78, 0.085)),
            ellipse(foot + 0.06, 0.8, 0.15, 0.085),
        ]

    sketch.part(*leg(rump + 0.24, -stride), ink=Ink.FAR)
    sketch.part(*leg(0.5, stride), ink=Ink.FAR)
    tail = limb(
        (rump, -0.06, 0.1), (rump - 0.24, -0.26 - wag, 0.09), (rump - 0.28, -0.58 - wag, 0.055)
    )
    trunk = curve(
        (rump - 0.13, 0.05),
        (rump + 0.02, -0.22),
        (-0.1, -0.2),
        (0.36, -0.28),
        (0.6, -0.02),
        (0.46, 0.32),
        (0.0, 0.22),
        (rump + 0.1, 0.28),
    )
    neck = limb((0.32, 0.0, 0.26), (0.5, -0.3, 0.22), (0.58, -0.44, 0.2))
    sketch.part(tail, trunk, neck, *leg(rump + 0.06, stride), *leg(0.36, -stride))
    chest = curve((0.62, -0.2), (0.62, 0.02), (0.5, 0.22), (0.4, 0.1), (0.5, -0.1))
    sketch.patch(chest, ink=Ink.PALE)
    x, y = 0.66, -0.58 + nod
    sketch.part(limb((x + 0.28, y + 0.22, 0.06), (x + 0.3, y + 0.22 + pant, 0.065)), ink=Ink.BLUSH)
    snout = limb((x + 0.08, y + 0.1, 0.18), (x + 0.36, y + 0.13, 0.135), (x + 0.43, y + 0.13, 0.12))
    sketch.part(ellipse(x, y, 0.32, 0.3), snout, ink=Ink.PLAIN)
    muzzle = limb((x + 0.24, y + 0.16, 0.1), (x + 0.42, y + 0.16, 0.09))
    sketch.patch(muzzle, ink=Ink.PALE)
    sketch.line((x + 0.54, y + 0.18), (x + 0.36, y + 0.24), (x + 0.2, y + 0.2), width=0.036)
    sketch.patch(ellipse(x + 0.52, y + 0.03, 0.1, 0.085), ink=Ink.BLACK)
    sketch.eye(x + 0.1, y - 0.08, 0.1, (0.2, 0.0), 0.66)
    ear = limb(
        (x - 0.14, y - 0.17, 0.1),
        (x - 0.27 - flop, y + 0.06, 0.15),
        (x - 0.27 - 2 * flop, y + 0.3, 0.13),
    )
    sketch.part(ear, ink=Ink.FAR)


def turtle(sketch: Sketch, pose: Pose) -> None:
    """From the side: a domed shell that bears the texture, stout legs, head held out."""
    reach, lift = pose("reach", -0.08, 0.12), pose("lift", -0.15, 0.14)
    stride, dome = pose("stride", -0.1, 0.1), pose("dome", -0.08, 0.1)
    x, y = 0.94 + reach, -0.08 - lift
    for hip, swing in ((-0.32, stride), (0.52, -stride)):
        sketch.part(limb((hip, 0.25, 0.14), (hip + swing, 0.52, 0.13)), ink=Ink.FAR)
    sketch.part(limb((-0.6, 0.28, 0.1), (-0.84, 0.36, 0.06), (-0.96, 0.3, 0.025)), ink=Ink.PALE)
    neck = limb((0.5, 0.24, 0.15), (0.74, 0.18 - lift / 2, 0.13), (x - 0.06, y, 0.12))
    sketch.part(neck, ellipse(x, y - 0.02, 0.24, 0.2), ink=Ink.PALE)
    sketch.eye(x + 0.05, y - 0.07, 0.085, (0.2, 0.0), 0.66)
    sketch.line((x + 0.21, y + 0.06), (x + 0.12, y + 0.1), (x + 0.03, y + 0.09), width=0.036)
    for hip, swing in ((-0.46, -stride), (0.38, stride)):
        sketch.part(
            limb((hip, 0.2, 0.16), (hip + swing, 0.48, 0.14), (hip + swing + 0.04, 0.56, 0.15)),
            ink=Ink.PALE,
        )
    shell = curve(
        (-0.8, 0.26),
        (-0.72, -0.12),
        (-0.42, -0.48 - dome),
        (0.0, -0.62 - dome),
        (0.42, -0.46 - dome),
        (0.68, -0.1),
        (0.74, 0.26),
        (0.0, 0.33),
    )
    brim = limb(
        (-0.82, 0.23, 0.05),
        (-0.6, 0.29, 0.085),
        (0.0, 0.34, 0.1),
        (0.6, 0.28, 0.085),
        (0.8, 0.22, 0.05),
    )
    sketch.part(shell)
    sketch.part(brim, ink=Ink.FAR)


def bird(sketch: Sketch, pose: Pose) -> None:
    """From the side: pointed beak, folded or lifted wing, long tail, two thin legs."""
    lift, fan = pose("wing", 0.0, 1.0), pose("tail", -0.15, 0.15)
    nod, step = pose("nod", -0.06, 0.06), pose("step", -0.1, 0.1)
    for hip, foot in ((0.02, 0.02 + step), (-0.14, -0.14 - step)):
        sketch.line((hip, 0.35), (foot, 0.84), width=0.075)
        sketch.line((foot - 0.14, 0.88), (foot, 0.83), (foot + 0.18, 0.88), width=0.07)
    for drop in (0.12, 0.0):
        feather = limb(
            (-0.3, 0.14, 0.14),
            (-0.7, 0.18 + (fan + drop) / 2, 0.11),
            (-1.0, 0.2 + fan + drop, 0.085),
        )
        sketch.part(feather, ink=Ink.FAR)
    x, y = 0.46, -0.46 + nod
    beak = polygon((x + 0.2, y - 0.13), (x + 0.64, y + 0.05), (x + 0.2, y + 0.17))
    sketch.part(beak, ink=Ink.HORN)
    sketch.line((x + 0.24, y + 0.04), (x + 0.56, y + 0.05), width=0.034)
    body = curve(
        (-0.58, 0.08),
        (-0.3, -0.16),
        (0.06, -0.36),
        (0.4, -0.34),
        (0.6, -0.06),
        (0.5, 0.28),
        (0.12, 0.48),
        (-0.3, 0.4),
    )
    sketch.part(body, ellipse(x, y, 0.31, 0.29))
    breast = curve((0.58, -0.1), (0.56, 0.16), (0.36, 0.4), (0.06, 0.46), (0.16, 0.28), (0.38, 0.1))
    sketch.patch(breast, ink=Ink.PALE)
    sketch.eye(x + 0.08, y - 0.06, 0.105, (0.15, 0.0), 0.68)
    wing = curve(
        (0.22, -0.08),
        (0.16, 0.2),
        (-0.1, 0.28),
        (-0.64, 0.32),
        (-0.52, 0.1),
        (-0.36, -0.1),
        (0.0, -0.22),
    )
    sketch.part(turned(wing, lift * 0.9, (0.1, -0.05)), ink=Ink.FAR)


def fish(sketch: Sketch, pose: Pose) -> None:
    """From the side: forked tail, back, belly and side fins, a round eye."""
    flick, fin = pose("flick", -0.12, 0.12), pose("fin", -0.08, 0.1)
    deep, flap = 0.46 + pose("depth", -0.08, 0.08), pose("flap", -0.12, 0.12)
    tail = curve(
        (-0.45, 0.0),
        (-0.72, -0.16),
        (-1.06, -0.46 + flick),
        (-1.02, -0.16 + flick),
        (-0.9, 0.02 + flick),
        (-1.02, 0.2 + flick),
        (-1.06, 0.46 + flick),
        (-0.72, 0.16),
    )
    back = curve(
        (0.34, -0.36),
        (0.08, -0.72 - fin),
        (-0.24, -0.72 - fin),
        (-0.52, -0.46),
        (-0.4, -0.16),
        (0.0, -0.2),
    )
    belly = curve((0.0, 0.3), (-0.1, 0.62 + fin), (-0.34, 0.68 + fin), (-0.4, 0.2))
    sketch.part(tail, ink=Ink.FAR)
    sketch.part(back, ink=Ink.FAR)
    sketch.part(belly, ink=Ink.FAR)
    body = curve(
        (0.98, 0.04),
        (0.8, -0.26),
        (0.4, -deep),
        (-0.1, -deep * 0.92),
        (-0.52, -0.2),
        (-0.68, 0.0),
        (-0.52, 0.2),
        (-0.1, deep * 0.88),
        (0.4, deep * 0.92),
        (0.82, 0.26),
    )
    sketch.part(body)
    face = curve(
        (0.97, 0.04),
        (0.8, -0.25),
        (0.48, -deep * 0.95),
        (0.4, -0.06),
        (0.5, deep * 0.8),
        (0.82, 0.24),
    )
    sketch.patch(face, ink=Ink.PLAIN)
    chin = curve(
        (0.93, 0.12),
        (0.8, 0.25),
        (0.4, deep * 0.89),
        (-0.1, deep * 0.84),
        (-0.46, 0.22),
        (-0.1, 0.26),
        (0.4, 0.24),
    )
    sketch.patch(chin, ink=Ink.PALE)
    sketch.line((0.48, -deep * 0.82), (0.38, -0.06), (0.46, 0.32), width=0.046)
    side = curve(
        (0.28, 0.04), (0.04, 0.0 + flap), (-0.2, 0.14 + flap), (-0.06, 0.29 + flap), (0.26, 0.22)
    )
    sketch.part(side, ink=Ink.FAR)
    sketch.eye(0.68, -0.1, 0.13, (0.15, 0.0))
    sketch.line((0.96, 0.11), (0.86, 0.16), (0.76, 0.14), width=0.046)


def insect(sketch: Sketch, pose: Pose) -> None:
    """From the side: head, chest and abdomen, six jointed legs, feelers, two clear wings."""
    beat, walk = pose("wing", -0.15, 0.3), pose("walk", -0.1, 0.1)
    feel, droop = pose("feelers", -0.12, 0.12), pose("droop", -0.1, 0.12)
    x, y = 0.56, -0.12 + pose("nod", -0.06, 0.06)

    def legs(step: float, ink: Ink) -> None:
        for hip, foot in ((0.0, -0.42), (0.12, 0.08), (0.26, 0.6)):
            end = foot + step
            knee = hip + 0.62 * (end - hip)
            leg = limb(
                (hip, 0.08, 0.055), (knee, 0.2, 0.055), (end, 0.66, 0.045), (end + 0.13, 0.76, 0.04)
            )
            sketch.part(leg, ink=ink)

    legs(0.14 - walk, Ink.FAR)
    wing = curve(
        (0.0, 0.0), (-0.3, -0.24), (-0.74, -0.28), (-0.9, -0.08), (-0.6, 0.06), (-0.2, 0.06)
    )
    for angle in (0.4 + beat, beat):
        sketch.part(moved(turned(wing, angle), 0.12, -0.14), ink=Ink.PALE)
    abdomen = curve(
        (-0.1, 0.02),
        (-0.3, -0.22),
        (-0.66, -0.24),
        (-0.98, 0.06 + droop),
        (-1.06, 0.26 + droop),
        (-0.8, 0.36 + droop / 2),
        (-0.4, 0.3),
        (-0.14, 0.14),
    )
    sketch.part(abdomen)
    legs(walk, Ink.PLAIN)
    sketch.part(ellipse(0.1, -0.02, 0.27, 0.22))
    for k in (0.0, 0.18):
        tip = (x + 0.36 + k, y - 0.56 - feel)
        sketch.line((x + 0.06, y - 0.16), (x + 0.1 + k, y - 0.44 - feel), tip, width=0.06)
        sketch.patch(ellipse(*tip, 0.065, 0.065), ink=Ink.RIM)
    sketch.part(ellipse(x, y, 0.27, 0.25), ink=Ink.PLAIN)
    sketch.eye(x + 0.09, y - 0.04, 0.13, (0.15, 0.0))
    sketch.line((x + 0.22, y + 0.11), (x + 0.14, y + 0.15), (x + 0.05, y + 0.13), width=0.038)
