"""Pictures as SVG, in plain Python."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from .terminal import printable

_FONT = "font-family=\"'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif\""
INK, MUTED, GRID = "#22303c", "#66727e", "#dfe4e8"


class Canvas:
    """Elements, one drawn over the other."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def add(self, element: str) -> None:
        self.parts.append(element)

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str, more: str = "") -> None:
        self.add(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{stroke}" {more}/>'
        )

    def text(
        self,
        x: float,
        y: float,
        content: str,
        *,
        size: int = 13,
        fill: str = INK,
        anchor: str = "start",
        weight: int = 400,
        halo: bool = False,
    ) -> None:
        content = escape(printable(content))  # XML cannot hold control characters at all
        place = (
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" '
            f'text-anchor="{anchor}" font-weight="{weight}"'
        )
        # A copy behind, not paint-order: few renderers outside browsers know that one.
        if halo:
            self.add(
                f'{place} fill="#ffffff" stroke="#ffffff" stroke-width="4" '
                f'stroke-linejoin="round" aria-hidden="true">{content}</text>'
            )
        self.add(f'{place} fill="{fill}">{content}</text>')


def document(canvas: Canvas, width: int, height: int, title: str, definitions: str) -> str:
    """The whole picture on white; `title` is printable."""
    body = "\n".join(canvas.parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label={quoteattr(title)} {_FONT}>\n'
        f"<title>{escape(title)}</title>\n<defs>{definitions}</defs>\n"
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )
