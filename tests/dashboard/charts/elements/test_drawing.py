"""A `Drawing` equals the figure that plotly builds step by step."""

import plotly.graph_objects as go

from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import LIGHT, layout


def test_a_drawing_equals_the_figure_built_with_plotly_and_shares_no_layout():
    drawing = Drawing(LIGHT, 300)
    drawing.scatter(x=[1, 2], y=[3, 4], mode="lines", line={"color": "#123456"})
    drawing.trace("heatmap", z=[[1, 2]])
    drawing.across(3, {"width": 2}, layer="below")
    drawing.across(4, {"width": 1}, name="there")
    drawing.lay_out(xaxis={"title": {"text": "Removed"}, "range": [0, 1]}, margin={"r": 70})
    drawing.write(text="words", x=0, y=1)
    figure = go.Figure(layout=layout(LIGHT, 300))
    figure.add_scatter(x=[1, 2], y=[3, 4], mode="lines", line={"color": "#123456"}, hoverinfo="skip", showlegend=False)
    figure.add_heatmap(z=[[1, 2]])
    figure.add_hline(y=3, line={"width": 2}, layer="below")
    figure.add_hline(y=4, line={"width": 1}, name="there")
    figure.update_xaxes(title_text="Removed", range=[0, 1])
    figure.update_layout(margin_r=70)
    figure.add_annotation(text="words", x=0, y=1)
    assert drawing.figure() == figure
    first, second = Drawing(LIGHT, 300), Drawing(LIGHT, 300)
    first.lay_out(xaxis={"range": [0, 1]})
    assert "range" not in first.layout["yaxis"] and "range" not in second.layout["xaxis"]
