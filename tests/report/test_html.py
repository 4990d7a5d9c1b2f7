"""Report pages: well-formed, self-contained, and safe against any file name."""

from html.parser import HTMLParser

from pc_ssl.report.html import heading, page, paragraph, picture, table


class Outline(HTMLParser):
    """Collects tags, and fails on one that is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_a_page_is_well_formed_and_loads_nothing() -> None:
    parts = [
        heading("Results"),
        paragraph("three seeds"),
        table(["a", "b"], [["x", "1"]], "what"),
        picture(b"png", "p"),
    ]
    outline = Outline(page("Report", parts))
    assert {tag for tag, _ in outline.tags}.isdisjoint({"script", "link", "iframe"})
    sources = [attributes["src"] for tag, attributes in outline.tags if tag == "img"]
    assert sources == ["data:image/png;base64,cG5n"]


def test_text_is_escaped() -> None:
    evil = "<script>alert('\"&')</script>"
    outline = Outline(page(evil, [heading(evil), paragraph(evil), table([evil], [[evil]], evil), picture(b"", evil)]))
    assert all(tag != "script" for tag, _ in outline.tags)
    assert "".join(outline.text).count(evil) == 8  # title twice, heading, paragraph, three in the table, one caption
