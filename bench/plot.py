"""Small line charts with logarithmic axes, as one SVG: a panel for each operation."""

import html
import math

PANEL_WIDTH, PANEL_HEIGHT, COLUMNS = 300, 220, 4
LEFT, RIGHT, TOP, BOTTOM = 56, 18, 44, 34
COLOURS = ["#1f6feb", "#d1242f", "#1a7f37", "#9a6700"]
STYLE = ("text{font:11px sans-serif;fill:#24292f}.title{font-weight:bold;font-size:12px}.note{fill:#57606a;font-size:10px}"
         ".grid{stroke:#d8dee4;stroke-width:1}.frame{fill:none;stroke:#8c959f}.line{fill:none;stroke-width:2}")


def short(value):
    """1000 as 1k, 0.00012 as 0.00012."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.3g}"


class Scale:
    """Logarithms of values to a range of pixels; whole decades at both ends, at least so many."""

    def __init__(self, values, low, high, decades=1):
        self.first = math.floor(math.log10(min(values)) + 1e-9)
        self.last = max(math.ceil(math.log10(max(values)) - 1e-9), self.first + decades)
        self.low, self.high = low, high

    def __call__(self, value):
        return self.low + (math.log10(value) - self.first) / (self.last - self.first) * (self.high - self.low)

    def decades(self):
        return [10.0 ** exponent for exponent in range(self.first, self.last + 1)]


def _panel(left, top, panel):
    """panel: {"title", "unit", "x", "lines": {name: [(x, y), ...]}}; points with y 0 or less are left out."""
    lines = {name: [(x, y) for x, y in points if x > 0 and y > 0] for name, points in panel["lines"].items()}
    points = [point for line in lines.values() for point in line]
    out = [f'<text class="title" x="{left + 8}" y="{top + 16}">{html.escape(panel["title"])}</text>',
           f'<text class="note" x="{left + 8}" y="{top + 30}">{html.escape(panel["unit"])}</text>']
    if not points:
        return out
    x = Scale([point[0] for point in points], left + LEFT, left + PANEL_WIDTH - RIGHT)
    y = Scale([point[1] for point in points], top + PANEL_HEIGHT - BOTTOM, top + TOP, decades=2)
    for value in x.decades():
        out += [f'<line class="grid" x1="{x(value):.1f}" y1="{y.low}" x2="{x(value):.1f}" y2="{y.high}"/>',
                f'<text x="{x(value):.1f}" y="{y.low + 14}" text-anchor="middle">{short(value)}</text>']
    for value in y.decades():
        out += [f'<line class="grid" x1="{x.low}" y1="{y(value):.1f}" x2="{x.high}" y2="{y(value):.1f}"/>',
                f'<text x="{x.low - 5}" y="{y(value) + 4:.1f}" text-anchor="end">{short(value)}</text>']
    out += [f'<rect class="frame" x="{x.low}" y="{y.high}" width="{x.high - x.low}" height="{y.low - y.high}"/>',
            f'<text class="note" x="{(x.low + x.high) / 2}" y="{y.low + 27}" text-anchor="middle">{html.escape(panel["x"])}</text>']
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x(px):.1f},{y(py):.1f}" for px, py in line)
        out.append(f'<polyline class="line" stroke="{colour}" points="{path}"/>')
        for px, py in line:
            above = y(py) - 7 if y(py) - y.high > 14 else y(py) + 16
            end = "end" if x(px) > x.high - 20 else "start" if x(px) < x.low + 20 else "middle"
            out += [f'<circle cx="{x(px):.1f}" cy="{y(py):.1f}" r="3" fill="{colour}"/>',
                    f'<text class="note" x="{x(px):.1f}" y="{above:.1f}" text-anchor="{end}">{short(py)}</text>']
        if len(lines) > 1:
            out.append(f'<text x="{x.high - 4}" y="{y.high + 14 + 13 * number}" text-anchor="end" style="fill:{colour}">{html.escape(name)}</text>')
    return out


def svg(title, panels):
    """The whole picture as text."""
    rows = math.ceil(len(panels) / COLUMNS)
    width, height = COLUMNS * PANEL_WIDTH, 40 + rows * PANEL_HEIGHT
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
           f"<style>{STYLE}</style>", f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text class="title" x="8" y="24" style="font-size:15px">{html.escape(title)}</text>']
    for number, panel in enumerate(panels):
        out += _panel(number % COLUMNS * PANEL_WIDTH, 40 + number // COLUMNS * PANEL_HEIGHT, panel)
    return "\n".join([*out, "</svg>", ""])
