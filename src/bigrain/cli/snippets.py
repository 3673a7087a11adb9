"""The stretch of a hit that answers the query, and where the query's words are in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bigrain.cli.output import plain_text

if TYPE_CHECKING:
    from bigrain.text import Analyser
    from bigrain.types import Hit

__all__ = ["Snippets"]

WIDTH = 280
MAX_CHARS = 50_000
Span = tuple[int, int]


class Snippets:
    """Snippets for one query. `language` is that of the words, None if unknown."""

    def __init__(self, query: str, language: str | None) -> None:
        from bigrain.text import Analyser

        self._analyser: Analyser = Analyser(language)
        self._terms = set(self._analyser.analyse(query))

    def of(self, hit: Hit) -> tuple[str, list[Span]]:
        """The best stretch of the best passage, and the spans of the query's words in it."""
        whole = hit.text if hit.passage is None else hit.passage.text
        text = plain_text(whole[:MAX_CHARS])
        found = self._matches(text)
        start, end = _window(text, found)
        spans = [(a - start, b - start) for a, b, _ in found if start <= a and b <= end]
        before, after = "… " if start else "", " …" if end < len(text) else ""
        return (
            f"{before}{text[start:end]}{after}",
            [(a + len(before), b + len(before)) for a, b in spans],
        )

    def _matches(self, text: str) -> list[tuple[int, int, str]]:
        from bigrain.text import words

        found = words(text)
        terms: dict[str, str] = {}
        for word in {word for word, _, _ in found}:
            match = self._terms.intersection(self._analyser.analyse(word))
            if match:
                terms[word] = match.pop()
        return [(start, end, terms[word]) for word, start, end in found if word in terms]


def _window(text: str, found: list[tuple[int, int, str]]) -> Span:
    """A stretch of about `WIDTH` characters with the most different words of the query."""
    if len(text) <= WIDTH:
        return 0, len(text)
    best, most = 0, (0, 0)
    for at, (start, _, _) in enumerate(found):
        inside = [term for _, end, term in found[at : at + 50] if end - start <= WIDTH * 3 // 4]
        if (len(set(inside)), len(inside)) > most:
            best, most = start, (len(set(inside)), len(inside))
    start = max(0, min(best - WIDTH // 5, len(text) - WIDTH))
    if start:
        start = text.find(" ", start, best) + 1 or start
    end = min(len(text), start + WIDTH)
    if end < len(text):
        cut = text.rfind(" ", start + WIDTH // 2, end)
        end = cut if cut > 0 else end
    return start, end
