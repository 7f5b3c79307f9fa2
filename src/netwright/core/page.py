"""What the HTML pages share: one style, light and dark, from a phone's width up; tables that sort; nothing fetched.

    templates("netwright.study").get_template("report.html").render(...)

A template puts `{{ style }}` into its <style> and `{{ script }}` into its <script>. Knows no page.
"""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup


def templates(package: str) -> jinja2.Environment:
    """The templates in a package's folder `templates`: HTML is escaped, an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name, file in (("style", "page.css"), ("script", "page.js")):
        made.globals[name] = Markup(Path(__file__).with_name(file).read_text(encoding="utf-8"))
    return made
