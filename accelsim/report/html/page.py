"""`page`: a checked document as the text of one HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from accelsim.report.html import documents as doc
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


def page(document: doc.Drawable, pictures: Mapping[str, str] | None = None) -> str:
    """The page of a document, complete in itself.

    Args:
        document: what `read_document` gave.
        pictures: data URIs by ``experiment/name``, for the experiments of a reproduction.
    """
    shown = _view(document, pictures or {})
    text: str = _template().render(page=shown, style=_asset("style.css"), script=_asset("script.js"))
    return text


def _view(document: doc.Drawable, pictures: Mapping[str, str]) -> Page:
    if isinstance(document, doc.ResultDocument):
        return runs.result_page(document)
    if isinstance(document, doc.ResultsDocument):
        return runs.results_page(document)
    if isinstance(document, doc.InferenceDocument):
        return views.inference_page(document)
    if isinstance(document, doc.ExplanationDocument):
        return views.explanation_page(document)
    return views.reproduce_page(document, pictures)
