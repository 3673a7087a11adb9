"""Terms, settings and warnings of the analyser."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from bigrain import LexicalField
from bigrain.errors import ConfigError, InvalidDocumentError
from bigrain.text import Analyser
from bigrain.text.languages import LANGUAGES
from bigrain.text.stop_words import stop_words


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "The dogs' owners aren't running in Ann's parks", "dog owner aren't run ann park"),
        ("french", "L’eau de l'école aujourd'hui", "eau ecol aujourd'hui"),
        ("it", "dell'acqua e l’amico", "acqua amic"),
        ("tr", "Türkiye'de IŞIK", "türki ışık"),
        ("de", "Die Häuser der Straße", "haus strass"),
        ("zh-TW", "臺北市 is", "臺北 北市 is"),
        (None, "The dogs", "the dogs"),
        ("none", "The dogs", "the dogs"),
    ],
)
def test_terms(language: str | None, text: str, expected: str) -> None:
    assert Analyser(language).analyse(text) == expected.split()


def test_every_stemmer_is_known_by_name_and_code() -> None:
    for name in Stemmer.algorithms():
        analyser = Analyser(name)
        assert LANGUAGES[analyser.language].stemmer == name
        assert stop_words(analyser.language)
        assert Analyser(analyser.language) == analyser
        assert analyser.analyse("x1") == ["x1"]


def test_switches() -> None:
    assert Analyser(stem=False).analyse("the dogs") == ["dogs"]
    assert Analyser(stop_words=False).analyse("the dogs") == ["the", "dog"]


@given(st.lists(st.text(), max_size=5))
def test_many_is_one_by_one(texts: list[str]) -> None:
    for analyser in (Analyser(), Analyser("tr"), Analyser(None)):
        assert analyser.analyse_many(texts) == [analyser.analyse(text) for text in texts]


def test_threads_agree() -> None:
    texts = [f"running {i}s words{i} nationalization{i} happily{i % 97}" for i in range(4000)]
    expected = Analyser("porter").analyse_many(texts)
    parts = [texts[i : i + 100] for i in range(0, 4000, 100)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            found = [t for part in pool.map(Analyser("porter").analyse_many, parts) for t in part]
            assert found == expected


def test_config_round_trip_and_fingerprint() -> None:
    analyser = Analyser("German", stem=False)
    assert Analyser.from_dict(analyser.to_dict()) == analyser
    assert analyser.fingerprint() == Analyser("de", stem=False).fingerprint()
    prints = {Analyser(a, stem=b).fingerprint() for a in ("en", "de", None) for b in (True, False)}
    assert len(prints) == 6


@pytest.mark.parametrize("language", ["klingon", "englsh", "", 3])
def test_an_unknown_language_lists_the_known(language: object) -> None:
    with pytest.raises(ConfigError, match="german"):
        Analyser(language)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "code"),
    [("Deutsch", "de"), ("français", "fr"), ("francais", "fr"), ("ESPAÑOL", "es"),
     ("русский", "ru"), ("日本語", "ja"), ("中文", "zh"), ("ภาษาไทย", "th"), ("हिन्दी", "hi"),
     ("tiếng việt", "vi"), ("zh_TW", "zh")],
)  # fmt: skip
def test_languages_are_known_by_their_own_names(name: str, code: str) -> None:
    assert Analyser(name).language == code
    assert LexicalField(language=name).language == name


def test_a_field_of_an_unknown_language_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"'klingon' is not known\. language=None matches"):
        LexicalField(language="klingon")
    with pytest.raises(ConfigError, match=r"did you mean 'deutsch'\? language=None"):
        LexicalField(language="deutch")


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="stem"):
        Analyser(stem="yes")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="colour"):
        Analyser.from_dict({"colour": 1})
    with pytest.raises(InvalidDocumentError, match="text 1"):
        Analyser().analyse_many(["a", None])  # type: ignore[list-item]
    with pytest.raises(InvalidDocumentError):
        Analyser().analyse_many("abc")


def test_coverage_warns_once_for_a_script_the_language_does_not_cover() -> None:
    arabic = ["هذا نص عربي"] * 8 + ["english text"] * 2
    (warning,) = Analyser("en").coverage(arabic)
    assert "8 of 10" in warning and "set language='ar'" in warning
    assert Analyser("ar").coverage(arabic) == ()
    assert Analyser(None).coverage(arabic) == ()
    assert "'th'" in Analyser("en").coverage(["ภาษาไทย"])[0]
    assert Analyser("en").coverage(["", "123"]) == ()


def test_a_word_of_a_megabyte_is_cut() -> None:
    (term,) = Analyser().analyse("x" * 1_000_000)
    assert len(term) == 255


def test_importing_is_light() -> None:
    code = (
        "import sys, bigrain.text; "
        "print([m for m in ('Stemmer', 'selectolax', 'pypdf', 'rich') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "[]", done.stderr
