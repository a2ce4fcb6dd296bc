"""What every page is made of: templates, styles, scripts, plotly.js, and data that can stand in a script."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

ASSETS = Path(__file__).with_name("assets")


def document(
    template: str,
    context: Mapping[str, Any],
    data: Any,
    *,
    styles: Sequence[str],
    scripts: Sequence[str],
    assets: Path | None = None,
) -> str:
    """Fills a template; the text that comes back needs no other file and no network.

    Args:
        template: Name of the template.
        context: Its variables, but for ``css``, ``javascript``, ``plotly`` and ``data``.
        data: What the page's scripts read, as plain JSON values without NaN.
        styles: Names of style sheets, in order.
        scripts: Names of scripts, in order.
        assets: A folder where these are looked for before the one that all pages share.
    """
    folders = [ASSETS] if assets is None else [assets, ASSETS]
    environment = Environment(loader=FileSystemLoader(folders), autoescape=True, undefined=StrictUndefined)
    environment.filters["breakable"] = _breakable
    # Our own text, not data: it must not be escaped.
    parts = {
        "css": Markup(_joined(folders, styles)),  # noqa: S704
        "javascript": Markup(_joined(folders, scripts)),  # noqa: S704
        "plotly": Markup(get_plotlyjs()),  # noqa: S704
        "data": Markup(_embedded(data)),  # noqa: S704
    }
    return environment.get_template(template).render({**context, **parts})


def installed_versions(libraries: Sequence[str]) -> str:
    """The versions of those libraries that are installed, in a line."""
    installed = []
    for library in libraries:
        try:
            installed.append(f"{library} {metadata.version(library)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(installed)


def _joined(folders: Sequence[Path], names: Sequence[str]) -> str:
    """The text of several assets, each from the first folder that has it."""
    return "\n".join(
        next(folder / name for folder in folders if (folder / name).exists()).read_text(encoding="utf-8")
        for name in names
    )


def _breakable(name: str) -> Markup:
    """A metric's name that may be broken after its underscores."""
    return Markup("_<wbr>").join(name.split("_"))


def _embedded(value: Any) -> str:
    """JSON that can stand inside a script element whatever text it holds."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
