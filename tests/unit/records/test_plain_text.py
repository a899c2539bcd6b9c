"""HTML bodies become plain texts: nothing that people wrote is lost, and no tag stays."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from intercom_sandbox.workspace import plain_text as intercoms_plain_text
from tap_intercom.records import plain_text as module
from tap_intercom.records.plain_text import plain_text

# What a browser takes for a tag, however it goes on.
TAG = re.compile(r"<(?:[/!?]|[a-z][^\s/<>@]*(?:[\s/<>]|\Z))", re.IGNORECASE)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", ""),
        ("Plain words", "Plain words"),
        # Paragraphs and breaks
        ("<p>One</p>", "One"),
        ("<p>One</p><p>Two</p>", "One\nTwo"),
        ('<p class="no-margin">One</p>\n<p class="no-margin">Two</p>', "One\nTwo"),
        ("<p>One<br>Two<br/>Three<BR />Four</p>", "One\nTwo\nThree\nFour"),
        ("<p>One</p><p><br></p><p>Two</p>", "One\n\nTwo"),
        ("<p></p><p>One</p><p></p>", "One"),
        ("<div>One<div>Two</div>Three</div>", "One\nTwo\nThree"),
        ("<h2>Title</h2>Words<hr>More", "Title\nWords\nMore"),
        ("<blockquote>They wrote</blockquote>I write", "They wrote\nI write"),
        ("<p>  One \n\t two  </p>", "One two"),
        ("<p>One<b> two </b> three</p>", "One two three"),
        ("<pre>a\n  b\n</pre>c", "a\n  b\n\nc"),
        # Lists
        ("<ul><li>Coffee</li><li>Tea</li></ul>", "- Coffee\n- Tea"),
        ("<ol> <li>Coffee</li>\n <li>Tea</li> </ol>", "1. Coffee\n2. Tea"),
        ("<ul><li><p>Coffee</p></li><li><p>Tea</p></li></ul>", "- Coffee\n- Tea"),
        ("<ul><li>a<ol><li>b</li><li>c</li></ol></li></ul>d", "- a\n  1. b\n  2. c\nd"),
        ("<ul><li>One<li>Two</ul>End", "- One\n- Two\nEnd"),
        ("<li>Alone", "- Alone"),
        ("</ul></ol>Closed twice", "Closed twice"),
        ("<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table>", "A\tB\n1\t2"),
        # Links and images
        ('<p>See <a href="https://a.example/?b=1&amp;c=2">this</a>.</p>', "See this (https://a.example/?b=1&c=2)."),
        ("<a href=https://a.example>this</a>", "this (https://a.example)"),
        ("<a class=\"x\" href='https://a.example' target=_blank> this </a>!", "this (https://a.example)!"),
        ('<a href="https://a.example">https://a.example</a>', "https://a.example"),
        ('<a href="mailto:a@a.example">a@a.example</a>', "a@a.example"),
        ('<a href="https://a.example"></a>', "https://a.example"),
        ('<a href="https://a.example"><img src="/1.png"></a>', "/1.png (https://a.example)"),
        ('<a name="top">Top</a> <a href="#top">up</a>', "Top up"),
        ('<a href="javascript:alert(1)">Click</a>', "Click"),
        ('<a href="https://a.example">never closed', "never closed (https://a.example)"),
        ('<a href="tel:1">one<a href="tel:2">two</a>', "one (tel:1)two (tel:2)"),
        ('<a data-href="https://no.example" href="https://a.example">x</a>', "x (https://a.example)"),
        ('<img src="https://i.example/1.png" alt="Screenshot">', "Screenshot (https://i.example/1.png)"),
        ('<img src="data:image/png;base64,AAAA">', ""),
        # Entities
        ("<p>Fish &amp; chips &lt;3 &#128578; &eacute;</p>", "Fish & chips <3 🙂 é"),
        ("Fish &amp; chips", "Fish & chips"),
        ("<p>AT&T &copy &unknown; &</p>", "AT&T © &unknown; &"),
        ("<p>&lt;b&gt;not bold&lt;/b&gt;</p>", "<b>not bold</b>"),
        ("<p>&amp;lt;</p>", "&lt;"),
        # What is not for reading
        ("<p>a</p><script>if (a < b) { alert('<p>x</p>') }</script><p>b</p>", "a\nb"),
        ("<head><title>T</title><style>p { color: red }</style></head><p>a</p>", "a"),
        ("<p>a<!-- <b>never</b> -->b</p>", "ab"),
        ("<!DOCTYPE html><html><body>a</body></html>", "a"),
        ("<p>a</p><script>never closed", "a"),
        ("<p>a<!-- never closed", "a"),
        # Broken HTML
        ("<p>a</p", "a"),
        ('<p>a</p><a href="never closed', "a"),
        ("<<b>p>a", "p>a"),
        ("<jo<b>hn>a", "hn>a"),
        ('<p title="a > b">c</p>', "c"),
        ('<p title="never closed>c</p>', "c"),
        ("<o:p>a</o:p><b>b</b>", "ab"),
        ("<b>1 < 2 and <3</b>", "1 < 2 and <3"),
        ("<p>From <john@a.example></p>", "From <john@a.example>"),
        # Not HTML at all
        ("a <b> b is HTML, a < b is not", "a b is HTML, a < b is not"),
        ("if a<c then <name>\n  is  kept", "if a<c then <name>\n  is  kept"),
    ],
)  # fmt: skip
def test_a_body_becomes_text(body: str, text: str) -> None:
    assert plain_text(body) == text


PIECES = st.sampled_from(
    [
        *(
            "<p>",
            "</p>",
            '<p class="no-margin">',
            "<br>",
            '<a href="',
            '">',
            "</a>",
            "<li>",
            "<ol>",
        ),
        *("</ul>", "<pre>", "</pre>", "<!--", "-->", "<script>", "</script>", "<td>", "<img src='"),
        *("<", ">", "</", "<!", "<?", "/", "'", '"', "=", "@", "<b", "<x", "p>", " ", "\n", "word"),
    ]
)
SOUPS = st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join)


@given(SOUPS)
@example("<" * 2000 + "b>" * 2000)
@example('<a "' * 3000)
def test_no_body_is_refused_and_no_tag_stays(soup: str) -> None:
    """An escaped tag is a text that people wrote, so bodies without entities show it."""
    body = "<p>" + soup.replace("&", "")
    assert not TAG.search(plain_text(body))


@given(SOUPS)
def test_texts_without_html_stay_the_same(soup: str) -> None:
    text = TAG.sub("", soup.replace("&", "").replace("<", "< "))
    assert plain_text(text) == text


@given(st.lists(st.text("ab <>&;\u00a0\n'\"é", max_size=12), max_size=4))
def test_short_paragraphs_need_no_writer(texts: list[str]) -> None:
    """The short way for what most messages are comes to the same as the long one."""
    body = "".join(f"<p>{text}</p>" for text in texts)
    if module._PARAGRAPHS.fullmatch(body):
        assert plain_text(body) == module._written(body)


@given(st.lists(st.text("ab é", min_size=1, max_size=9).map(str.strip).filter(bool), min_size=1))
def test_simple_bodies_equal_what_intercom_makes_of_them(texts: list[str]) -> None:
    """Parts come as plain text from Intercom and other bodies do not, but they read the same."""
    body = "".join(f'<p>{" ".join(each.split())} <a href="u">v</a><br>w</p>' for each in texts)
    assert plain_text(body) == intercoms_plain_text(body)
