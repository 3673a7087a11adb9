"""Title and visible text of an HTML page."""

from __future__ import annotations

import codecs
import re
from typing import Any

from bigrain.errors import InvalidDocumentError, MissingExtraError
from bigrain.text.sources import decode

__all__ = ["html_text"]

_HIDDEN = frozenset("head script style noscript template svg math iframe object select".split())
_BLOCKS = frozenset(
    """address article aside blockquote body caption dd details dialog div dl dt fieldset
    figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section
    summary table ul""".split()
)
_LINES = frozenset(["br", "tr"])
_CELLS = frozenset(["td", "th", "option", "button", "img"])
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
MAX_NESTED = 10_000  # the parser takes time in the square of it: a tenth of a second here
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)")
_CLOSED_BY_OTHERS = frozenset(
    """area base br col embed hr img input link meta source track wbr
    dd dt li option p td th tr thead tbody tfoot colgroup""".split()
)

# Python's names for what is no character set; some take quadratic time.
_NOT_CHARSETS = frozenset("idna punycode raw-unicode-escape undefined unicode-escape utf-7".split())


def html_text(data: bytes, name: str) -> tuple[str, str]:
    """(title, text). Blocks become paragraphs, divided by a blank line; scripts are left out.

    Bytes that are no UTF-8 are decoded as the page's `<meta charset>` says, if it says so.
    """
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError:
        raise MissingExtraError("reading HTML", "files") from None
    markup = _decoded(data, name)
    if "\0" in markup:
        raise InvalidDocumentError(f"{name}: NUL character at {markup.index(chr(0))}: not HTML")
    _check_nesting(markup, name)
    tree = LexborHTMLParser(markup)
    title = tree.css_first("title")
    return _one_line(title.text()) if title else "", _visible(tree.body)


def _check_nesting(markup: str, name: str) -> None:
    depth = 0
    for closing, tag in _TAG.findall(markup):
        if tag.lower() not in _CLOSED_BY_OTHERS:
            depth = max(0, depth - 1) if closing else depth + 1
            if depth > MAX_NESTED:
                raise InvalidDocumentError(
                    f"{name}: HTML nested deeper than {MAX_NESTED:,} elements, the last <{tag}>"
                )


def _decoded(data: bytes, name: str) -> str:
    try:
        return decode(data, name)
    except InvalidDocumentError:
        declared = _CHARSET.search(data, 0, 4096)
        if declared is None:
            raise
        try:
            label = declared[1].decode("ascii").lower()
            known = codecs.lookup(label).name
            if known in _NOT_CHARSETS:
                raise LookupError
            # Browsers read Latin-1 as Windows-1252.
            return data.decode("cp1252" if known == "iso8859-1" else known)
        except (LookupError, UnicodeError):
            raise InvalidDocumentError(
                f"{name}: neither UTF-8 nor the charset it declares ({label})"
            ) from None


def _visible(root: Any) -> str:
    """Text of the tree below `root`, walked without recursion: pages may nest very deeply."""
    if root is None:
        return ""
    parts: list[str] = []
    node, entering = root, True
    top = root.mem_id  # nodes compare by their markup, which is slow
    while True:
        tag = node.tag
        if entering:
            if tag == "-text":
                text = node.text_content or ""
                in_pre = node.parent is not None and node.parent.tag in ("pre", "textarea")
                parts.append(text if in_pre else re.sub(r"\s+", " ", text))
            parts.append(_break(tag))
            if tag not in _HIDDEN and node.child is not None:
                node = node.child
                continue
        if tag in _BLOCKS:
            parts.append("\n\n")
        if node.mem_id == top:
            break
        entering = node.next is not None
        node = node.next if entering else node.parent
    return _tidy("".join(parts))


def _break(tag: str) -> str:
    if tag in _BLOCKS:
        return "\n\n"
    if tag in _LINES:
        return "\n"
    return " " if tag in _CELLS else ""


def _tidy(text: str) -> str:
    """No blanks at the ends of lines, one blank line at most between two others."""
    kept: list[str] = []
    for line in text.split("\n"):
        line = line.strip()
        if line or (kept and kept[-1]):
            kept.append(re.sub(r" {2,}", " ", line))
    return "\n".join(kept).strip()


def _one_line(text: str) -> str:
    return " ".join(text.split())
