"""Turn the HTML of messages into plain text, in the form of Intercom's `display_as=plaintext`.

The standard library's parser gives different results for broken tags in different versions of
Python. A row must not depend on that, so a pattern finds the tags here.
"""

from __future__ import annotations

import re
from html import unescape

# A text without any of these elements is already plain, even if it contains "<".
_ELEMENTS = (
    "a|abbr|address|article|aside|audio|b|big|blockquote|body|br|button|caption|center|cite|code|"
    "col|colgroup|dd|del|details|div|dl|dt|em|fieldset|figcaption|figure|font|footer|form|h[1-6]|"
    "head|header|hr|html|i|iframe|img|input|ins|kbd|label|li|link|main|mark|meta|nav|ol|object|p|"
    "picture|pre|q|s|samp|script|section|select|small|source|span|strike|strong|style|sub|summary|"
    "sup|svg|table|tbody|td|template|textarea|tfoot|th|thead|time|title|tr|tt|u|ul|var|video"
)
_IS_HTML = re.compile(rf"</?(?:{_ELEMENTS})(?=[\s/<>]|\Z)|<!(?:--|doctype)", re.IGNORECASE)
# Most messages are only paragraphs and need no writer.
_PARAGRAPHS = re.compile(r"(?:<p(?: class=\"no-margin\")?>[^<\s]+(?: [^<\s]+)*</p>)+")
_BETWEEN = re.compile(r"</p><p[^>]*>")
# Each alternative also ends at the end of the text, so an unclosed tag is dropped too. It takes
# every "<" before it, or else the rest of "<<b>p>" would be a tag.
_TAG = re.compile(
    r"""<+(?:
    !--.*?(?:-->|\Z)
    |(?P<dropped>script|style|head|title|template)(?=[\s/<>]|\Z).*?(?:</(?P=dropped)\s*>|\Z)
    |(?P<end>/?)(?P<name>[a-z][^\s/<>@]*)(?=[\s/<>]|\Z)
     (?P<attributes>(?:[^>"']|"[^"]*"|'[^']*')*(?=>)|[^>]*)(?:>|\Z)
    |[/!?][^>]*(?:>|\Z)
    )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE = re.compile(
    r"""(?<![^\s"'/])(href|src|alt)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE
)
_SPACES = re.compile(r"[ \t\r\n\f]+")
_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details"}
    | {"div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3"}
    | {"h4", "h5", "h6", "header", "hr", "html", "li", "main", "nav", "ol", "p", "pre", "section"}
    | {"summary", "table", "tbody", "tfoot", "thead", "tr", "ul"}
)
_CELLS = frozenset({"td", "th"})
# Addresses that lead nowhere outside the message.
_NO_ADDRESS = ("#", "javascript:", "data:", "cid:")


def plain_text(body: str) -> str:
    """Return the text of an HTML body.

    Paragraphs and breaks become newlines, items of lists get a mark, and links become
    `label (url)`. Texts that are not HTML stay the same, apart from entities such as `&amp;`.
    """
    if "<" not in body or not _IS_HTML.search(body):
        return unescape(body) if "&" in body else body
    if _PARAGRAPHS.fullmatch(body):
        return unescape(_BETWEEN.sub("\n", body[body.index(">") + 1 : -len("</p>")]))
    return _written(body)


def _written(body: str) -> str:
    writer = _Writer()
    at = 0
    for tag in _TAG.finditer(body):
        writer.text(body[at : tag.start()])
        at = tag.end()
        if name := tag["name"]:
            writer.tag(name.lower(), bool(tag["end"]), tag["attributes"])
    writer.text(body[at:])
    return writer.result()


class _Writer:
    """Collects the text of a body, with entities until the end."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.line = ""
        # A new block does not begin a new line here, such as a paragraph in an item of a list.
        self.is_fresh = True
        self.preformatted = 0
        self.links: list[tuple[str, int, int]] = []
        # For each open list, the number of the last item; None in lists without numbers.
        self.lists: list[int | None] = []

    def text(self, text: str) -> None:
        if not text:
            return
        if self.preformatted:
            first, *others = text.split("\n")
            self.line += first
            for each in others:
                self.new_line()
                self.line = each
        else:
            text = _SPACES.sub(" ", text)
            at_start = self.is_fresh or self.line.endswith((" ", "\t"))
            self.line += text.lstrip(" ") if at_start else text
        if text.strip(" "):
            self.is_fresh = False

    def tag(self, name: str, is_end: bool, attributes: str) -> None:
        if name == "br":
            self.new_line()
        elif name == "a":
            self.close_link()
            if not is_end:
                address = _attributes(attributes).get("href", "")
                self.links.append((address, len(self.lines), len(self.line)))
        elif name == "img":
            self.image(_attributes(attributes))
        elif name in _CELLS and not is_end and not self.is_fresh:
            self.line = self.line.rstrip(" ") + "\t"
        elif name in _BLOCKS:
            self.block(name, is_end)

    def block(self, name: str, is_end: bool) -> None:
        if not self.is_fresh:
            self.new_line()
        if name == "pre":
            self.preformatted = 0 if is_end else 1
        elif name in ("ol", "ul"):
            if not is_end:
                self.lists.append(0 if name == "ol" else None)
            elif self.lists:
                self.lists.pop()
        elif name == "li":
            self.line = "" if is_end else self.item_mark()

    def item_mark(self) -> str:
        indent = "  " * (len(self.lists) - 1)
        if not self.lists or self.lists[-1] is None:
            return f"{indent}- "
        self.lists[-1] += 1
        return f"{indent}{self.lists[-1]}. "

    def image(self, attributes: dict[str, str]) -> None:
        label, address = attributes.get("alt", ""), attributes.get("src", "")
        address = "" if address.startswith(_NO_ADDRESS) else address
        if label and address:
            self.text(f"{label} ({address})")
        else:
            self.text(label or address)

    def close_link(self) -> None:
        """Write the address of the open link behind its label."""
        if not self.links:
            return
        address, line, column = self.links.pop()
        if not address or address.lower().startswith(_NO_ADDRESS):
            return
        pieces = [*self.lines[line:], self.line]
        label = " ".join([pieces[0][column:], *pieces[1:]]).strip()
        if not label:
            self.text(address)
        elif label not in (address, address.partition(":")[2]):
            self.line = self.line.rstrip(" ")
            self.text(f" ({address})")

    def new_line(self) -> None:
        self.lines.append(self.line)
        self.line = ""
        self.is_fresh = True

    def result(self) -> str:
        self.close_link()
        lines = [each.rstrip(" \t") for each in (*self.lines, self.line)]
        return unescape("\n".join(lines)).strip("\n")


def _attributes(text: str) -> dict[str, str]:
    """Return the attributes that the text needs; they may still contain entities."""
    found: dict[str, str] = {}
    for name, *values in _ATTRIBUTE.findall(text):
        found.setdefault(name.lower(), _TAG.sub("", "".join(values)).strip())
    return found
