"""The text of a message as HTML that neither runs nor loads anything."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import nh3
from markupsafe import Markup

TEXT = {
    *("a", "abbr", "b", "big", "blockquote", "br", "caption", "center", "cite", "code", "dd"),
    *("del", "div", "dl", "dt", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6"),
    *("hr", "i", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "s", "samp", "small"),
    *("span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead"),
    *("tr", "tt", "u", "ul", "var", "wbr"),
}
# Elements that load something: the name of what they load stays, as text.
LOADING = {
    "audio": "sound",
    "embed": "file",
    "iframe": "frame",
    "img": "image",
    "source": "file",
    "video": "video",
}
REPLACED = re.compile(rf"<(a|{'|'.join(LOADING)})[\s>]")
# Where files are, seen from a page.
FILES = "../files/"
SPANS = {"td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}}
FIRST_ATTRIBUTES = {
    **SPANS,
    **{name: {"src", "alt"} for name in LOADING},
    "*": {"dir"},
    "a": {"href"},
}
LAST_ATTRIBUTES = {**SPANS, "*": {"dir"}, "a": {"href"}, "img": {"src", "alt"}, "span": {"class"}}
SCHEMES = {"http", "https", "mailto", "tel"}
FILE_HOST = re.compile(
    r"(^|\.)(intercomcdn\.(com|eu)|(au|eu)-intercomcdn\.com|intercom-attachments(-\d+)?\.(com|eu))$"
)


@dataclass(frozen=True)
class Place:
    """Where a stored file is, seen from the page; is_image: whether the page can show it.

    href: None if the page may not link it, or if there is no file; note: why.
    """

    name: str
    href: str | None = None
    is_image: bool = False
    note: str = ""


Find = Callable[[str], Place | None]


def address(url: str) -> str:
    """A URL without its signature, by which an image in a text finds its file."""
    return url.split("#")[0].split("?")[0]


def is_of_file_host(url: str) -> bool:
    try:
        return bool(FILE_HOST.search(urlsplit(url).hostname or ""))
    except ValueError:
        return False


def keep(tag: str, name: str, value: str) -> str | None:
    """What the last cleaning leaves of an attribute."""
    is_local = value.startswith(FILES) and ".." not in value[len(FILES) :].split("/")
    if name == "src":
        return value if is_local else None
    if name == "href":
        return value if is_local or is_web(value) else None
    if name == "class":
        return value if value == "missing" else None
    return value


FIRST = nh3.Cleaner(
    tags=TEXT | LOADING.keys(),
    attributes=FIRST_ATTRIBUTES,
    url_schemes=SCHEMES,
    link_rel=None,
)
LAST = nh3.Cleaner(
    tags=TEXT | {"img"},
    attributes=LAST_ATTRIBUTES,
    attribute_filter=keep,
    url_schemes=SCHEMES,
    link_rel="noopener noreferrer",
)


def safe_html(body: str, find: Find) -> Markup:
    """Clean a text. `find` gives the file of an address."""
    clean = FIRST.clean(encodable(body))
    if not REPLACED.search(clean):
        return Markup(clean)
    replacing = Replacing(find)
    replacing.feed(clean)
    replacing.close()
    # Last, so what is on the page is what the sanitizer wrote.
    return Markup(LAST.clean("".join(replacing.texts)))


def encodable(text: str) -> str:
    """A text without halves of surrogate pairs, which neither pages nor SQLite can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def is_web(url: str) -> bool:
    return ":" in url and url.split(":")[0].lower() in SCHEMES


class Replacing(HTMLParser):
    """Puts stored files in the place of addresses, in HTML that is already clean."""

    def __init__(self, find: Find) -> None:
        super().__init__(convert_charrefs=False)
        self.texts: list[str] = []
        self._find = find

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in LOADING:
            self.texts.append(self._loaded(tag, values))
        elif tag == "a" and "href" in values:
            self.texts.append(self._link(values))
        else:
            self.texts.append(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in LOADING:
            self.texts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.texts.append(html.escape(data, quote=False))

    def handle_entityref(self, name: str) -> None:
        self.texts.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.texts.append(f"&#{name};")

    def _loaded(self, tag: str, values: dict[str, str]) -> str:
        url = values.get("src", "")
        place = self._find(url) if url else None
        alt = values.get("alt") or (place.name if place else "")
        if place is None or place.href is None:
            name = alt or last_part(url) or "without an address"
            why = place.note if place and place.note else "not in the archive"
            return missing(f"{LOADING[tag]} {name}: {why}")
        href = html.escape(place.href)
        if tag == "img" and place.is_image:
            return f'<img src="{href}" alt="{html.escape(alt)}">'
        return f'<a href="{href}">{html.escape(place.name)}</a>'

    def _link(self, values: dict[str, str]) -> str:
        url = values["href"]
        place = self._find(url)
        if place is not None and place.href is not None:
            return f'<a href="{html.escape(place.href)}">'
        if place is not None or is_of_file_host(url):
            name = place.name if place else last_part(url)
            why = place.note if place and place.note else "not in the archive"
            return missing(f"file {name}: {why}") + " <a>"
        return f'<a href="{html.escape(url)}">' if is_web(url) else "<a>"


def missing(text: str) -> str:
    return f'<span class="missing">[{html.escape(text)}]</span>'


def last_part(url: str) -> str:
    """The name that an address ends with."""
    return unquote(address(url).rstrip("/").rsplit("/", 1)[-1])
