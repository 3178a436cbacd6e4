"""Arrow results -> what people and programs read: text tables, CSV, JSON, Markdown, HTML, Parquet.

Every writer takes a `pyarrow.RecordBatchReader` and reads it batch by batch, so that a result may
be larger than memory. Nothing here knows SQL, models or connections.
"""

from sqlml.render.cells import cell, json_value
from sqlml.render.files import BINARY_FORMATS, FORMATS, write
from sqlml.render.html import html_table
from sqlml.render.table import Style, TableLines

__all__ = [
    "BINARY_FORMATS",
    "FORMATS",
    "Style",
    "TableLines",
    "cell",
    "html_table",
    "json_value",
    "write",
]
