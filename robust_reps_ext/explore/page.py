"""The page itself: one HTML text with its style and its script, and the policy it is sent with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..report.page import script_digest
from .pictures import MOST_BYTES, Gallery
from .wanted import KINDS, SCHEDULES, STEPS, Network

__all__ = ["page"]

SCRIPTS = ("asking.js", "images.js", "runs.js", "views.js")
"""The parts of the script, in their order."""


def page(networks: Sequence[Network], gallery: Gallery) -> tuple[str, str]:
    """The page and its content security policy: its own script and style, and nothing else."""
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("robust_reps_ext.explore"), PackageLoader("robust_reps_ext.report")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = "\n".join(environment.get_template(name).render() for name in SCRIPTS)
    style = environment.get_template("explore.css.j2").render()
    text = environment.get_template("explore.html.j2").render(
        script=Markup(script),
        style=Markup(style),
        networks=networks,
        gallery=gallery,
        schedules=SCHEDULES,
        facts=_facts(networks, gallery),
    )
    policy = {
        "default-src": "'none'",
        "script-src": f"'{script_digest(script)}'",
        "style-src": f"'{script_digest(style)}'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return text, "; ".join(f"{name} {value}" for name, value in policy.items())


def _facts(networks: Sequence[Network], gallery: Gallery) -> dict[str, Any]:
    return {
        "networks": [
            {
                "name": one.name,
                "side": one.shape[1],
                "layers": one.layers,
                "classes": one.classes,
                "size": one.size,
            }
            for one in networks
        ],
        "images": [one.name for one in gallery.pictures],
        "starts": {name: kind.starts for name, kind in KINDS.items()},
        "steps": STEPS,
        "most_bytes": MOST_BYTES,
    }
