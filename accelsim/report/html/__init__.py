"""A result file as one self-contained HTML page: `read_document` checks the file, `page` draws it.

Nothing is fetched from anywhere: style, script and pictures stand in the page. Any JSON document that accelsim
prints can be drawn (`SCHEMAS`).
"""

from accelsim.report.html.documents import SCHEMAS, read_document
from accelsim.report.html.page import page

__all__ = ["SCHEMAS", "page", "read_document"]
