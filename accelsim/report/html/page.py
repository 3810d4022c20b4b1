"""`page`: a checked document as the text of one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from accelsim.report.html import runs, views
from accelsim.report.html.blocks import Page


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("accelsim.report.html", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


def _asset(name: str) -> str:
    return resources.files("accelsim.report.html").joinpath("templates", name).read_text(encoding="utf-8")


_PAGES: dict[str, Callable[[Any], Page]] = {
    "accelsim.result/1": runs.result_page,
    "accelsim.results/1": runs.results_page,
    "accelsim.inference/1": views.inference_page,
    "accelsim.explanation/1": views.explanation_page,
}


def page(document: dict[str, Any], pictures: Mapping[str, str] | None = None) -> str:
    """The page of a document, complete in itself.

    Args:
        document: what `read_document` gave.
        pictures: data URIs by ``experiment/name``, for the experiments of a reproduction.
    """
    draw = _PAGES.get(document["schema"])
    shown = draw(document) if draw else views.reproduce_page(document, pictures or {})
    text: str = _template().render(page=shown, style=_asset("style.css"), script=_asset("script.js"))
    return text
