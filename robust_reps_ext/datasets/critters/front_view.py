"""Critters seen from the front.

Every number that may differ from one image to the next comes from `pose(name, low, high)`, which
draws and records it. Coordinates are those of `shapes`: about two units wide, y down.
"""

from __future__ import annotations

from math import cos, sin

from .shapes import Ink, Pose, Sketch, curve, ellipse, limb, mirrored, moved, polygon

__all__ = ["cat", "crab", "frog", "primate"]


def cat(sketch: Sketch, pose: Pose) -> None:
    """Sitting, face to us: pointed ears, whiskers, a tail curled up at the side."""
    x, curl = pose("tilt", -0.1, 0.1), pose("curl", -0.15, 0.2)
    prick, look = pose("ear", -0.06, 0.08), pose("look", -0.35, 0.35)
    plump, slit = pose("plump", -0.05, 0.08), pose("pupil", 0.4, 0.75)
    y = -0.34
    tail = limb(
        (0.2, 0.72, 0.11),
        (0.64 + plump, 0.68, 0.11),
        (0.84 + plump, 0.34, 0.105),
        (0.64 + plump + curl / 2, 0.02 - curl, 0.095),
        (0.8 + plump + curl, -0.16 - curl, 0.065),
    )
    sketch.part(tail)
    body = curve(
        (0.0, -0.2),
        (0.34, 0.05),
        (0.48 + plump, 0.5),
        (0.38 + plump, 0.84),
        (0.0, 0.88),
        (-0.38 - plump, 0.84),
        (-0.48 - plump, 0.5),
        (-0.34, 0.05),
    )
    sketch.part(body)
    sketch.patch(ellipse(x / 2, 0.2, 0.2, 0.26), ink=Ink.PALE)
    for side in (-1, 1):
        leg = limb((0.13 * side, 0.36, 0.09), (0.13 * side, 0.7, 0.09))
        sketch.part(leg, ellipse(0.15 * side, 0.84, 0.145, 0.09), ink=Ink.PLAIN)
    ear = curve(
        (0.06, -0.28),
        (0.24, -0.52 - prick),
        (0.42, -0.76 - prick),
        (0.5, -0.72 - prick),
        (0.55, -0.42 - prick),
        (0.52, -0.08),
    )
    inner = polygon((0.24, -0.3), (0.43, -0.62 - prick), (0.47, -0.24))
    sketch.part(moved(ear, x, y), moved(mirrored(ear), x, y), ink=Ink.PLAIN)
    sketch.patch(moved(inner, x, y), moved(mirrored(inner), x, y), ink=Ink.PALE)
    head = curve(
        (0.3, -0.34),
        (0.6, 0.06),
        (0.4, 0.32),
        (0.0, 0.38),
        (-0.4, 0.32),
        (-0.6, 0.06),
        (-0.3, -0.34),
    )
    sketch.part(moved(head, x, y), ink=Ink.PLAIN)
    for side in (-1, 1):
        sketch.patch(ellipse(x + 0.11 * side, y + 0.19, 0.16, 0.125), ink=Ink.PALE)
    for side in (-1, 1):
        ex = x + 0.25 * side
        sketch.part(ellipse(ex, y - 0.05, 0.135, 0.145), ink=Ink.WHITE)
        sketch.patch(ellipse(ex + 0.06 * look, y - 0.05, 0.12 * slit, 0.135), ink=Ink.BLACK)
        sketch.patch(ellipse(ex + 0.06 * look - 0.03, y - 0.1, 0.037, 0.037), ink=Ink.WHITE)
        for rise in (-0.1, 0.02, 0.14):
            start, end = (x + 0.24 * side, y + 0.17 + rise / 3), (x + 0.84 * side, y + 0.15 + rise)
            sketch.line(start, end, width=0.032)
    nose = polygon((x - 0.08, y + 0.08), (x + 0.08, y + 0.08), (x, y + 0.17))
    sketch.patch(nose, ink=Ink.BLACK)
    for side in (-1, 1):
        sketch.line(
            (x, y + 0.15), (x + 0.05 * side, y + 0.25), (x + 0.14 * side, y + 0.22), width=0.034
        )


def frog(sketch: Sketch, pose: Pose) -> None:
    """Squatting, face to us: folded hind legs, bulging eyes, a wide mouth."""
    squat, spread = pose("squat", -0.06, 0.08), pose("spread", -0.06, 0.1)
    look, gaze = pose("look", -0.3, 0.3), pose("gaze", -0.2, 0.2)
    smile, wide = pose("smile", 0.04, 0.16), pose("hands", -0.05, 0.08)
    foot = curve(
        (0.5, 0.46),
        (0.8 + spread, 0.5),
        (1.08 + spread, 0.58),
        (1.0 + spread, 0.68),
        (0.74 + spread, 0.64),
        (0.5, 0.68),
    )
    thigh = curve(
        (0.3, 0.28),
        (0.62 + spread, -0.12 - squat),
        (0.94 + spread, 0.06),
        (0.88 + spread, 0.44),
        (0.5, 0.58),
    )
    sketch.pair(foot, ink=Ink.PLAIN)
    sketch.pair(thigh)
    body = curve(
        (0.42, -0.36),
        (0.68, 0.0),
        (0.56, 0.44),
        (0.0, 0.58),
        (-0.56, 0.44),
        (-0.68, 0.0),
        (-0.42, -0.36),
    )
    lid = ellipse(0.37, -0.46, 0.25, 0.25)
    sketch.part(body, lid, mirrored(lid))
    sketch.patch(lid, mirrored(lid), ink=Ink.PLAIN)
    throat = curve((0.0, 0.2), (0.4, 0.14), (0.48, 0.34), (0.0, 0.56), (-0.48, 0.34), (-0.4, 0.14))
    sketch.patch(throat, ink=Ink.PALE)
    for side in (-1, 1):
        x = (0.34 + wide) * side
        toes = [limb((x, 0.54, 0.06), (x + toe, 0.68, 0.055)) for toe in (-0.17, 0.0, 0.17)]
        sketch.part(limb((0.36 * side, 0.24, 0.1), (x, 0.56, 0.08)), *toes, ink=Ink.PLAIN)
        sketch.eye(0.37 * side, -0.49, 0.18, (look, gaze))
        sketch.patch(ellipse(0.07 * side, -0.16, 0.024, 0.032), ink=Ink.RIM)
    dip = 0.02 + smile
    sketch.line(
        (-0.5, -0.1), (-0.26, dip - 0.04), (0, dip), (0.26, dip - 0.04), (0.5, -0.1), width=0.052
    )


def primate(sketch: Sketch, pose: Pose) -> None:
    """Face to us: pale face, round ears, long arms raised or hanging, a curled tail."""
    left, right = pose("left arm", 0.0, 1.0), pose("right arm", 0.0, 1.0)
    x, sway = pose("tilt", -0.06, 0.06), pose("tail", -0.1, 0.15)
    look, stance = pose("look", -0.3, 0.3), pose("stance", -0.05, 0.1)
    y = -0.44
    tail = limb(
        (0.15, 0.55, 0.075),
        (0.6, 0.74, 0.07),
        (0.88, 0.44 - sway, 0.065),
        (0.7, 0.22 - sway, 0.055),
        (0.6, 0.38 - sway, 0.04),
    )
    sketch.part(tail)
    for side, lift in ((-1, left), (1, right)):
        angle = -1.1 + 2.0 * lift
        elbow = (0.28 + 0.42 * cos(angle), 0.04 - 0.42 * sin(angle))
        angle += 0.5 if lift > 0.5 else -0.3
        hand = (elbow[0] + 0.46 * cos(angle), elbow[1] - 0.46 * sin(angle))
        sketch.part(limb((0.16, 0.06, 0.13), (*elbow, 0.105), (*hand, 0.09)) * (side, 1))
        sketch.part(ellipse(*hand, 0.125, 0.125) * (side, 1), ink=Ink.PALE)
    foot = 0.34 + stance
    sketch.pair(limb((0.16, 0.5, 0.15), (0.36 + stance, 0.68, 0.125), (foot, 0.88, 0.1)))
    sketch.pair(ellipse(foot + 0.05, 0.94, 0.17, 0.09), ink=Ink.PALE)
    body = curve(
        (0.0, -0.18),
        (0.3, -0.02),
        (0.38, 0.4),
        (0.22, 0.72),
        (-0.22, 0.72),
        (-0.38, 0.4),
        (-0.3, -0.02),
    )
    sketch.part(body)
    sketch.patch(ellipse(0, 0.42, 0.19, 0.23), ink=Ink.PALE)
    for side in (-1, 1):
        sketch.part(ellipse(x + 0.47 * side, y + 0.0, 0.19, 0.2), ink=Ink.PLAIN)
        sketch.patch(ellipse(x + 0.48 * side, y + 0.0, 0.11, 0.12), ink=Ink.PALE)
    sketch.part(ellipse(x, y, 0.45, 0.42), ink=Ink.PLAIN)
    for side in (-1, 1):
        sketch.patch(ellipse(x + 0.15 * side, y - 0.07, 0.2, 0.21), ink=Ink.PALE)
    sketch.patch(ellipse(x, y + 0.17, 0.32, 0.22), ink=Ink.PALE)
    for side in (-1, 1):
        sketch.eye(x + 0.15 * side, y - 0.07, 0.1, (look, 0.0), 0.68)
        sketch.patch(ellipse(x + 0.045 * side, y + 0.1, 0.024, 0.03), ink=Ink.RIM)
    sketch.line((x - 0.18, y + 0.19), (x, y + 0.28), (x + 0.18, y + 0.19), width=0.044)


def crab(sketch: Sketch, pose: Pose) -> None:
    """In front of us: raised claws, eyes on stalks, three jointed legs a side."""
    left, right = pose("left claw", -0.14, 0.14), pose("right claw", -0.14, 0.14)
    walk, gape = pose("walk", -0.06, 0.06), pose("gape", 0.25, 0.55)
    wide, look = 0.64 + pose("width", -0.05, 0.06), pose("look", -0.3, 0.3)
    for side in (-1, 1):
        for k, (reach, drop) in enumerate(((1.02, 0.34), (0.94, 0.62), (0.7, 0.78))):
            foot = drop + walk * (-1) ** (k + (side > 0))
            leg = limb(
                (0.4, 0.14 + 0.08 * k, 0.09), (reach - 0.12, foot - 0.3, 0.08), (reach, foot, 0.03)
            )
            sketch.part(leg * (side, 1), ink=Ink.FAR)
    for side, lift in ((-1, left), (1, right)):
        x, y = 0.84, -0.4 - lift
        sketch.part(
            limb((0.46, 0.04, 0.09), (0.86, -0.04, 0.09), (x, y, 0.08)) * (side, 1), ink=Ink.PLAIN
        )
        x, y = x - 0.04, y - 0.18
        fingers = []
        for open_, length in ((-gape, 0.5), (gape, 0.44)):
            near, far = -1.75 + 1.7 * open_, -1.75 + 0.75 * open_
            fingers.append(
                limb(
                    (x, y, 0.12),
                    (x + 0.26 * cos(near), y + 0.26 * sin(near), 0.105),
                    (x + length * cos(far), y + length * sin(far), 0.02),
                )
                * (side, 1)
            )
        sketch.part(ellipse(x, y, 0.21, 0.2) * (side, 1), *fingers)
    for side in (-1, 1):
        sketch.part(limb((0.17 * side, -0.12, 0.06), (0.21 * side, -0.42, 0.055)), ink=Ink.PLAIN)
    body = curve(
        (0.4, -0.26),
        (wide, 0.0),
        (0.5, 0.34),
        (0.0, 0.46),
        (-0.5, 0.34),
        (-wide, 0.0),
        (-0.4, -0.26),
    )
    sketch.part(body)
    for side in (-1, 1):
        sketch.eye(0.21 * side, -0.47, 0.13, (look, 0.0))
    sketch.line((-0.18, 0.2), (0, 0.28), (0.18, 0.2), width=0.05)
