"""Pictures of results: which one fits (by the columns), drawn in the terminal or with matplotlib.

A picture is data first (`Lines`, `Bars`, `Grid`); the two ways of drawing share it.
"""

from sqlml.plot.figure import to_png, to_svg
from sqlml.plot.picture import Bars, Grid, Lines, Panel, Picture, Series
from sqlml.plot.recognise import known_picture, picture_of
from sqlml.plot.terminal import draw

__all__ = [
    "Bars",
    "Grid",
    "Lines",
    "Panel",
    "Picture",
    "Series",
    "draw",
    "known_picture",
    "picture_of",
    "to_png",
    "to_svg",
]
