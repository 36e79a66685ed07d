"""Find traces and arrows in a figure."""


def trace(figure, name):
    return next(found for found in figure.data if found.name == name)


def arrows(figure):
    return [found for found in figure.data if found.marker.angleref == "previous"]
