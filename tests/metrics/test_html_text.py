"""The text of HTML: every rule by hand, and BeautifulSoup itself where it is installed."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.metrics.html_text import html_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("강나루", "강나루"),
        ("<p>강<b>나</b>루</p>", "강나루"),
        ("<P CLASS='x>y'>강</P>", "강"),  # a > inside quotes
        ("강<br>나<br/>루</br>", "강나루"),
        ("<table><tr><td>1</td><td>2</td></tr></table>", "12"),
        ("<td>1</table>2</td>3", "123"),  # end tags without a start
        ("강<!-- 말 -->나루", "강나루"),
        ("<!DOCTYPE html>강", "강"),
        ("<?xml version='1.0'?>강", "강"),
        ("<![CDATA[강 < 산]]>", "강 < 산"),
        ("<script>if (a < b) c()</script>강<style>p {}</style>", "강"),
        ("<template>x<b>y</b></template>강", "강"),
        ("<ruby>漢<rp>(</rp><rt>한</rt><rp>)</rp></ruby>", "漢"),
        ("<rt>x<b>y</rt>z", "z"),  # the end tag closes the b inside
        ("<rt><![CDATA[y]]></rt>", "y"),
        ("<rt/>x", "x"),
        ("<p><rt>x</p>y", "y"),
        ("<br><rt>x</br>y", ""),  # an end tag of a void element closes nothing
        ("<title>강</title><textarea>나</textarea>", "강나"),
        ("&lt;b&gt; &amp; &quot;", '<b> & "'),
        ("&nbsp;&#160;&#xA0;", "\u00a0\u00a0\u00a0"),
        ("&#44053;&#xac15;", "강강"),
        ("&#0000000000065;", "A"),
        ("&#150;&#x80;&#129;", "\u2013\u20ac\x81"),  # Windows-1252 where it has a character
        ("&#0;&#xD800;&#1114112;&#99999999999999999999;", "\ufffd" * 4),
        ("&unknown; &강;", "&unknown &강;"),  # the semicolon of an unknown name is lost
        ("&lt강", "<강"),  # no semicolon
        ("a & b < c", "a & b < c"),
        ("강 <", "강 <"),
        ("", ""),
    ],
)
def test_rules(html: str, text: str) -> None:
    assert html_text(html) == text


def test_what_the_parser_gives_up_on_stays() -> None:
    assert html_text("강<![x나") == "강<![x나"


PIECES = st.sampled_from(
    "<b> </b> <br> <br/> </br> <rt> </rt> <rp/> <p> </p> <script> </script> <style> </style>"
    " <template> </template> <!--c--> <!-- --> <![CDATA[x]]> <!DOCTYPE&#32;html> <?a?> &amp; &lt"
    " &nbsp; &foo; &# &#x; & < > 가나 </ <td&#32;a=1 <textarea> </textarea> <title> </title> ]]> <!"
    " <plaintext> <pre> </pre> &#150; &#xD800;".replace("&#32;", "\u3000").split(" ")
)


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=10))
def test_beautiful_soup_finds_the_same_text(pieces: list[str]) -> None:
    """Compared without white space, which the score deletes."""
    bs4 = pytest.importorskip("bs4")
    html = "".join(pieces).replace("\u3000", " ")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = bs4.BeautifulSoup(html, "html.parser").get_text()
        except bs4.exceptions.ParserRejectedMarkup:
            expected = html
    assert "".join(html_text(html).split()) == "".join(expected.split())


def test_many_open_elements_take_linear_time() -> None:
    """Quadratic time would be minutes here."""
    assert html_text("<li>강<br>" * 100_000 + "</ul>" * 100_000) == "강" * 100_000
