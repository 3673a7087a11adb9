"""From a text to the terms a lexical index holds: words, without function words, stemmed.

The same settings must analyse documents and queries, so an `Analyser` is saved with the index and
compared by `fingerprint`.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from bigrain.errors import ConfigError, InvalidDocumentError, MissingExtraError, shown
from bigrain.text.identifiers import parts_of_identifiers
from bigrain.text.languages import Language, find_language
from bigrain.text.spelling import respell, without_marks
from bigrain.text.stop_words import stop_words
from bigrain.text.tokenise import only_in_pairs, script_counts, tokens

__all__ = ["ANALYSIS_VERSION", "Analyser"]

# Part of every fingerprint. Rules that give other terms for some text get another `revision`.
ANALYSIS_VERSION = 1
REVISIONS = (1, 2)

# Longer words (data in base 64, mostly) are cut: no one types them.
MAX_TERM_CHARS = 255
NO_ENDING = "qxq"  # of any word
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Analyser:
    """How text becomes terms.

    `language`: an ISO code or name ("en", "german", "deutsch"), stored as its code; None or
    "none" for several or unknown languages: words are matched exactly. `stem`: cut inflections by
    the Snowball stemmer of the language, if it has one. `stop_words`: leave out function words, if
    there is a list. Both are without effect for languages that become bigrams (zh, ja, th, ko...).
    `revision` 2 adds to 1: names of program text by their parts (`identifiers`), spellings of one
    word as one (`spelling`), and in the index the single characters beside bigrams.

    >>> Analyser("en").analyse("The dogs' owners were running in Ann's parks")
    ['dog', 'owner', 'were', 'run', 'ann', 'park']

    Raises ConfigError for an unknown language or a setting of the wrong type. Safe to share
    between threads.
    """

    language: str | None = "en"
    stem: bool = True
    stop_words: bool = True
    revision: int = REVISIONS[-1]

    def __post_init__(self) -> None:
        if type(self.revision) is not int or self.revision not in REVISIONS:
            raise ConfigError(
                f"revision={shown(self.revision)} of the analysis is not known; use "
                f"{REVISIONS[-1]}, or 1 for collections made before there were others"
            )
        for name in ("stem", "stop_words"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise ConfigError(f"{name} must be True or False, got {value!r}; try {name}=True")
        object.__setattr__(self, "language", find_language(self.language).code)

    def analyse(self, text: str) -> list[str]:
        """The terms of `text` in order, repeated as often as they occur."""
        return self.analyse_many([text])[0]

    def analyse_many(self, texts: Iterable[str], *, index: bool = False) -> list[list[str]]:
        """The terms of each text; the same as `analyse` one by one, and faster.

        `index`: the terms that a document is found by, which are more than those it is searched
        with: where scripts become bigrams, every single character is one too.
        """
        parts = self.revision > 1
        return self._mapped(texts, self.stop_words, parts, "both" if index and parts else "pairs")

    def sequence(self, text: str) -> list[str]:
        """The terms of `text` word by word, to hold phrases against.

        Function words are among them; scripts without blanks give single characters.
        """
        return self._mapped([text], False, False, "single")[0]

    def unstemmed(self, text: str) -> list[str]:
        """The words of `text` in the spelling of the index, with their endings."""
        return self._mapped([text], False, False, "pairs", stem=False)[0]

    def beginnings(self, text: str) -> list[str]:
        """How terms may begin of words that begin with the word `text`; none if it is several.

        Stemmers change letters, too (über, uber), and take articles off. An ending that none knows
        keeps them from taking off what only looks like an ending.
        """
        begins = self.unstemmed(text)
        if len(begins) != 1:
            return []
        (*_, last) = self._mapped([text + NO_ENDING], False, False, "pairs")[0]
        changed = last.removesuffix(NO_ENDING)
        return [begins[0], changed] if changed and changed not in (last, begins[0]) else begins

    def may_come_of(self, text: str) -> set[str]:
        """Terms of words that are `text` and one letter more; none where no word goes on so."""
        if len(self.unstemmed(text + LETTERS[0])) != 1:
            return set()
        words = " ".join(text + letter for letter in LETTERS)
        return set(self._mapped([words], False, False, "pairs")[0])

    def slips(self, word: str) -> set[str]:
        """Terms of all that is one letter away from `word`: left out, put in, swapped, another.

        Letters are those of its script: a slip in an ending changes what a stemmer takes off.
        """
        letters = set(LETTERS) if any(char in LETTERS for char in word) else set[str]()
        for char in word:
            row = ord(char) & ~31
            if char.isalpha() and not char.isascii():
                letters.update(c for c in map(chr, range(row, row + 32)) if c.isalpha())
        parts = [(word[:i], word[i:]) for i in range(len(word) + 1)]
        made = {a + b[1:] for a, b in parts if b}
        made |= {a + b[1] + b[0] + b[2:] for a, b in parts if len(b) > 1}
        made |= {a + c + b[1:] for a, b in parts if b for c in letters}
        made |= {a + c + b for a, b in parts for c in letters}
        return set(self._mapped([" ".join(sorted(made))], False, False, "pairs")[0])

    def terms_of_phrase(self, text: str) -> list[str]:
        """The terms of the words of `text` alone: all are in a document that says it."""
        return self._mapped([text], self.stop_words, False, "pairs")[0]

    def written(self, text: str) -> list[tuple[str, str]]:
        """(term, word in the spelling of the index, with its ending) of all words of `text`."""
        words = tokens(text.replace("I", "ı") if self._dotless else text)
        if self.revision > 1:
            words += parts_of_identifiers(text)
        terms, spelt = (
            _terms(self.language or "none", stem, self.stop_words, self.revision)
            for stem in (self.stem, False)
        )
        return [(term, spelt[word]) for word in words if (term := terms[word])]

    @property
    def stems(self) -> bool:
        """Whether terms are other than the words of which they are made."""
        return self.stem and find_language(self.language).stemmer != ""

    def only_in_pairs(self, word: str) -> bool:
        """Whether the index has a word, a single character, only within pairs of characters."""
        return only_in_pairs(word, singles=self.revision > 1)

    @property
    def _dotless(self) -> bool:
        return self.language in ("tr", "az")

    def _mapped(
        self, texts: Iterable[str], stops: bool, parts: bool, runs: str, *, stem: bool = True
    ) -> list[list[str]]:
        if isinstance(texts, str):
            raise InvalidDocumentError("analyse_many takes several texts, got one str: use [text]")
        table = _terms(self.language or "none", self.stem and stem, stops, self.revision)
        term_of = table.__getitem__
        dotless = self._dotless
        found = []
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise InvalidDocumentError(
                    f"text {row} of analyse_many must be a str, got {type(text).__name__}"
                )
            words = tokens(text.replace("I", "ı") if dotless else text, runs=runs)
            if parts:
                words += parts_of_identifiers(text)
            found.append([term for term in map(term_of, words) if term])
        return found

    def coverage(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Warnings where a script that prevails in a third of `texts` is not the language's.

        One warning for each such script, with the setting that would help. Looks at the first
        2,000 characters of each text; give it a sample of a few thousand texts at most.
        """
        language = find_language(self.language)
        if not language.scripts:
            return ()
        prevailing: dict[str, int] = {}
        n_texts = 0
        for text in texts:
            script = next(iter(script_counts(text[:2000])), "")
            if script:
                n_texts += 1
                prevailing[script] = prevailing.get(script, 0) + 1
        return tuple(
            _warning(language, script, count, n_texts)
            for script, count in sorted(prevailing.items(), key=lambda item: -item[1])
            if script not in language.scripts and 3 * count >= n_texts
        )

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the settings and with `ANALYSIS_VERSION`."""
        what = json.dumps([ANALYSIS_VERSION, self.to_dict()], sort_keys=True)
        return hashlib.sha256(what.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """The settings, as JSON values; the first revision is told by silence."""
        told = asdict(self)
        if self.revision == 1:
            del told["revision"]
        return told

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Analyser:
        """The analyser that `to_dict` described; ConfigError for keys it does not know."""
        unknown = sorted(set(config) - {"language", "stem", "stop_words", "revision"})
        if unknown:
            raise ConfigError(
                f"an analyser has no setting {', '.join(map(repr, unknown))}; "
                "it has language, stem, stop_words, revision"
            )
        return cls(**{"revision": 1, **config})


_CODES_OF_SCRIPT = {
    "Han": "zh",
    "Hiragana": "ja",
    "Katakana": "ja",
    "Arabic": "ar",
    "Cyrillic": "ru",
    "Devanagari": "hi",
    "Greek": "el",
    "Hangul": "ko",
    "Hebrew": "he",
    "Latin": "en",
}


def _warning(language: Language, script: str, count: int, n_texts: int) -> str:
    code = _CODES_OF_SCRIPT.get(script)
    if code is None:
        found = [
            c
            for c in ("hy", "ta", "th", "lo", "km", "my", "am", "bn", "ka", "gu", "kn", "ml")
            if script in find_language(c).scripts
        ]
        code = found[0] if found else "none"
    return (
        f"{count} of {n_texts} texts are mostly in {script} script, which "
        f"language={language.code!r} ({language.name}) does not cover: their words are matched "
        f"exactly, without stemming; set language={code!r}"
    )


class _Terms(dict[str, str]):
    """word -> term, "" for a stop word; filled as words are met.

    One table serves all threads: looking up is safe, and a Snowball stemmer, which is not, is used
    under a lock.
    """

    MAX_WORDS = 30_000  # about 6 MB; then it starts afresh

    def __init__(
        self, language: Language, stem: bool, stops: frozenset[str], revision: int
    ) -> None:
        super().__init__()
        self._language = language
        self._stops = stops
        self._respells = revision > 1
        self._lock = threading.Lock()
        self._stemmer: Any = _stemmer(language) if stem and language.stemmer else None
        elisions = "|".join(language.elisions)
        self._elision = re.compile(f"(?:{elisions})'") if elisions else None

    def __missing__(self, word: str) -> str:
        term = self._term(word[:MAX_TERM_CHARS])
        if len(self) >= self.MAX_WORDS:
            self.clear()
        if len(word) <= MAX_TERM_CHARS:
            self[word] = term
        return term

    def _term(self, word: str) -> str:
        if "'" in word:
            word = self._without_apostrophe(word)
        code = self._language.code
        if self._respells:
            word = respell(word, code)
        if word in self._stops:
            return ""
        if self._stemmer is not None:
            with self._lock:
                word = self._stemmer.stemWord(word) or word
        return without_marks(word, code) if self._respells else word

    def _without_apostrophe(self, word: str) -> str:
        code = self._language.code
        if code in ("en", "porter"):
            return word[:-2] if word.endswith("'s") else word  # Ann's
        if code in ("tr", "az"):
            return word.partition("'")[0]  # Türkiye'de: what follows a name is inflection
        if self._elision is not None:
            match = self._elision.match(word)
            return word[match.end() :] if match else word  # l'eau
        return word


@lru_cache(maxsize=16)
def _terms(language: str, stem: bool, with_stop_words: bool, revision: int) -> _Terms:
    stops = stop_words(language) if with_stop_words else frozenset[str]()
    if revision > 1:
        stops = frozenset(respell(word, language) for word in stops)
    return _Terms(find_language(language), stem, stops, revision)


def _stemmer(language: Language) -> Any:
    try:
        import Stemmer
    except ImportError:
        raise MissingExtraError(f"stemming in {language.name}", "", package="PyStemmer") from None
    try:
        return Stemmer.Stemmer(language.stemmer, 0)
    except KeyError:
        raise ConfigError(
            f"the installed PyStemmer {Stemmer.version()} has no {language.name} stemmer; "
            "upgrade it (pip install -U PyStemmer), or set stem=False"
        ) from None
