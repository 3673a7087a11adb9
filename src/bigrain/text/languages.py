"""The languages an analyser can be told about, and what is known of each."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from bigrain.errors import ConfigError, shown

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
# What they are called by those who speak them.
_OWN_NAMES = """
    ar العربية|hy հայերեն|eu euskara|ca català|cs čeština,česky|da dansk|nl nederlands
    et eesti|fi suomi|fr français|de deutsch|el ελληνικά|hi हिन्दी,हिंदी|hu magyar
    id bahasa indonesia|ga gaeilge|it italiano|lt lietuvių|ne नेपाली
    no norsk,bokmål,nynorsk|fa فارسی|pl polski|pt português|ro română|ru русский
    sr српски,srpski|st sesotho|es español,castellano|sv svenska|ta தமிழ்|tr türkçe
    yi ייִדיש|zh 中文,汉语,漢語,普通话,华语,mandarin|ja 日本語|ko 한국어|th ไทย,ภาษาไทย
    lo ລາວ,ພາສາລາວ|km ខ្មែរ,ភាសាខ្មែរ|my မြန်မာ,မြန်မာဘာသာ|sq shqip|am አማርኛ
    az azərbaycan|be беларуская|bn বাংলা|bs bosanski|bg български|hr hrvatski
    fil filipino,tagalog|gl galego|ka ქართული|gu ગુજરાતી|he עברית|is íslenska|kn ಕನ್ನಡ
    kk қазақ|la latina|lv latviešu|mk македонски|ms bahasa melayu|ml മലയാളം|mr मराठी
    mn монгол|pa ਪੰਜਾਬੀ|si සිංහල|sk slovenčina,slovensky|sl slovenščina,slovensko
    sw kiswahili|te తెలుగు|uk українська|ur اردو|vi tiếng việt
"""


def _plain(name: str) -> str:
    """A name as people may type it: without case, and without accents."""
    apart = unicodedata.normalize("NFD", name.strip().casefold())
    return "".join(char for char in apart if not unicodedata.combining(char))


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
_BY_NAME = {
    **{
        _plain(name): code
        for entry in _OWN_NAMES.strip().replace("\n", "|").split("|")
        for code, _, names in [entry.strip().partition(" ")]
        for name in names.split(",")
    },
    **{language.name: code for code, language in LANGUAGES.items()},
}


def find_language(language: str | None) -> Language:
    """By code ("de", "zh-TW"), name in English or of its own ("German", "Deutsch"), or None.

    ConfigError lists what is known.
    """
    if language is None:
        return LANGUAGES["none"]
    hint = ""
    if isinstance(language, str):
        name = _plain(language)
        for key in (name, name.replace("_", "-").partition("-")[0]):
            key = _ALIASES.get(key, _BY_NAME.get(key, key))
            if key in LANGUAGES:
                return LANGUAGES[key]
        import difflib

        close = difflib.get_close_matches(name[:40], [*LANGUAGES, *_BY_NAME], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ConfigError(
        f"language {shown(language)} is not known{hint or '.'} language=None "
        "matches the words of any other exactly, without stemming. Known are, by code or name: "
        + known_languages()
    )


def known_languages() -> str:
    """Codes and names as one line of text."""
    return ", ".join(
        code if code == language.name else f"{code} ({language.name})"
        for code, language in LANGUAGES.items()
    )
