"""The languages an analyser can be told about, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass

from bigrain.errors import ConfigError

__all__ = ["LANGUAGES", "Language", "find_language", "known_languages"]


@dataclass(frozen=True, slots=True)
class Language:
    """`stemmer` names the Snowball algorithm ("" for none), `scripts` what it is written in."""

    code: str
    name: str
    stemmer: str
    scripts: tuple[str, ...]
    elisions: tuple[str, ...] = ()


_LATIN = ("Latin",)
_ELISIONS = {
    "fr": "c d j jusqu l lorsqu m n puisqu qu quoiqu s t".split(),
    "it": "agl all c coll d dagl dall degl dell gl l m negl nell pell s sugl sull t un v".split(),
    "ca": "d l m n s t".split(),
    "ga": "b d m".split(),
}
_STEMMED = """
    ar arabic Arabic|hy armenian Armenian|eu basque|ca catalan|cs czech|da danish|nl dutch
    en english|eo esperanto|et estonian|fi finnish|fr french|de german|el greek Greek
    hi hindi Devanagari|hu hungarian|id indonesian|ga irish|it italian|lt lithuanian
    ne nepali Devanagari|no norwegian|fa persian Arabic|pl polish|pt portuguese|ro romanian
    ru russian Cyrillic|sr serbian Cyrillic,Latin|st sesotho|es spanish|sv swedish|ta tamil Tamil
    tr turkish|yi yiddish Hebrew
"""
_EXACT = """
    zh chinese Han|ja japanese Han,Hiragana,Katakana|ko korean Hangul,Han|th thai Thai|lo lao Lao
    km khmer Khmer|my burmese Myanmar
    af afrikaans|sq albanian|am amharic Ethiopic|az azerbaijani|be belarusian Cyrillic
    bn bengali Bengali|bs bosnian|bg bulgarian Cyrillic|hr croatian|fil filipino|gl galician
    ka georgian Georgian|gu gujarati Gujarati|he hebrew Hebrew|is icelandic|kn kannada Kannada
    kk kazakh Cyrillic|la latin|lv latvian|mk macedonian Cyrillic|ms malay|ml malayalam Malayalam
    mr marathi Devanagari|mn mongolian Cyrillic|pa punjabi Gurmukhi|si sinhala Sinhala|sk slovak
    sl slovenian|sw swahili|te telugu Telugu|uk ukrainian Cyrillic|ur urdu Arabic|vi vietnamese
"""
_ALIASES = {"nb": "no", "nn": "no", "iw": "he", "in": "id", "tl": "fil", "farsi": "fa"}


def _table(text: str, stemmed: bool) -> dict[str, Language]:
    table = {}
    for entry in text.strip().replace("\n", "|").split("|"):
        code, name, *scripts = entry.split()
        table[code] = Language(
            code=code,
            name=name,
            stemmer=name if stemmed else "",
            scripts=tuple(scripts[0].split(",")) if scripts else _LATIN,
            elisions=tuple(_ELISIONS.get(code, ())),
        )
    return table


LANGUAGES = {
    **_table(_STEMMED, stemmed=True),
    **_table(_EXACT, stemmed=False),
    "porter": Language("porter", "porter", "porter", _LATIN),  # the stemmers of older systems
    "dutch_porter": Language("dutch_porter", "dutch_porter", "dutch_porter", _LATIN),
    "none": Language("none", "none", "", ()),  # any language: words matched exactly
}
_BY_NAME = {language.name: code for code, language in LANGUAGES.items()}


def find_language(language: str | None) -> Language:
    """By code ("de", "zh-TW"), English name ("German") or None; ConfigError lists what is known."""
    if language is None:
        return LANGUAGES["none"]
    if isinstance(language, str):
        name = language.strip().lower()
        for key in (name, name.replace("_", "-").partition("-")[0]):
            key = _ALIASES.get(key, _BY_NAME.get(key, key))
            if key in LANGUAGES:
                return LANGUAGES[key]
        import difflib

        close = difflib.get_close_matches(name, [*LANGUAGES, *_BY_NAME], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
    else:
        hint = ""
    raise ConfigError(
        f"language {language!r} is not known{hint}. Known are, by code or English name: "
        f"{known_languages()}. For any other, language=None matches words exactly, without stemming"
    )


def known_languages() -> str:
    """Codes and names as one line of text."""
    return ", ".join(
        code if code == language.name else f"{code} ({language.name})"
        for code, language in LANGUAGES.items()
    )
