"""Spellings made one, names of program text, and single characters, language by language."""

import pytest

from bigrain.text import Analyser
from bigrain.text.identifiers import parts_of_identifiers


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "café naïve Erdős", "cafe naive Erdos"),
        ("fr", "élèves à l'école où", "eleves a l’ecole ou"),
        ("it", "dell'università città", "universita citta"),
        ("pt", "café ônibus", "cafe onibus"),
        ("es", "canción niños", "cancion ninos"),
        ("ro", "ţară şi", "țară și"),
        ("de", "Müller Straße", "Mueller Strasse"),
        ("nl", "coördinatie", "coordinatie"),
        ("el", "Άνθρωπος", "ανθρωπος"),
        ("ru", "ёлка", "елка"),
        ("sr", "Београд", "Beograd"),
        ("ar", "أحمد مدرسة ٢٠٢٠", "احمد مدرسه 2020"),
        ("fa", "كتاب ۱۳۹۹", "کتاب 1399"),
        ("ur", "كتاب", "کتاب"),
        ("hi", "हिन्दी क़लम चाँद २०", "हिंदी कलम चांद 20"),
        ("mr", "सम्बन्ध", "संबंध"),
        ("vi", "hoà thuỷ khoẻ", "hòa thủy khỏe"),
        ("tr", "İstanbul'da", "istanbul"),
        ("uk", "п’ять", "п'ять"),
        ("fi", "Helsingissä", "helsingissä"),
        ("sv", "Bilar", "bilen"),
        ("pl", "książkami", "książka"),
        (None, "２０２０ ＡＢ", "2020 ab"),
    ],
)
def test_spellings_of_one_word(language: str | None, one: str, other: str) -> None:
    assert Analyser(language).analyse(one) == Analyser(language).analyse(other)


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("sv", "år", "ar"),
        ("pl", "łata", "lata"),
        ("tr", "ışık", "işik"),
        ("vi", "bán", "bàn"),
        ("hi", "जन्म", "जंम"),
        (None, "café", "cafe"),
    ],
)
def test_other_letters_stay_other_words(language: str | None, one: str, other: str) -> None:
    assert Analyser(language).analyse(one) != Analyser(language).analyse(other)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("getUserName", "get user name"),
        ("get_user_name", "getusername"),
        ("_private __init__", ""),
        ("HashMap(x) HashMap", "hash map"),
        ("parseHTMLPage2", "parse html page 2"),
        ("mtDNA", "mt dna"),
        ("PubMed McDonald DNAs PhD iOS17 USA a_ _", ""),
        ("MAX_VALUE", "maxvalue"),
        ("naïveBayes", ""),
        ("x" * 300 + "Y", ""),
    ],
)
def test_parts_of_identifiers(text: str, parts: str) -> None:
    assert parts_of_identifiers(text) == parts.split()


def test_two_ways_of_writing_a_name_meet() -> None:
    analyser = Analyser()
    camel, snake = (set(analyser.analyse(n)) for n in ("getUserName", "get_user_name"))
    assert camel == snake


def test_parts_take_linear_time() -> None:
    for text in ("aA" * 500_000, "_" * 1_000_000, "a_" * 500_000, "aB " * 300_000):
        parts_of_identifiers(text)


def test_single_characters_are_in_the_index() -> None:
    for language, text, one in [("zh", "喝水", "水"), ("ko", "책을", "책"), ("th", "ปูนา", "ปู")]:
        analyser = Analyser(language)
        assert analyser.analyse(one) == [one]
        assert one in analyser.analyse_many([text], index=True)[0]
        assert one not in analyser.analyse(text)
    assert Analyser("ja").analyse_many(["かな"], index=True) == [["かな"]]


def test_phrases_are_sequences() -> None:
    assert Analyser("en").sequence("The dogs of war") == ["the", "dog", "of", "war"]
    assert Analyser("en").terms_of_phrase("The dogs of war") == ["dog", "war"]
    assert Analyser("zh").sequence("检索机 ab") == ["检", "索", "机", "ab"]


def test_the_first_revision_is_as_it_was() -> None:
    first = Analyser("en", revision=1)
    assert first.analyse_many(["café getUserName 检索"], index=True) == [
        ["café", "getusernam", "检索"]
    ]
    assert "revision" not in first.to_dict()
    assert Analyser.from_dict({"language": "en"}) == first
    assert first.fingerprint() != Analyser("en").fingerprint()


@pytest.mark.parametrize(
    ("language", "document", "query"),
    [
        ("ar", "قرأت الكتب في المكتبة", "كتب مكتبة"),
        ("cs", "s knihami v ruce", "kniha"),
        ("da", "de gamle husene", "huset"),
        ("de", "alte Häuser am Fluß", "Haus Fluss"),
        ("el", "οι άνθρωποι της Αθήνας", "άνθρωπος Αθηνα"),
        ("es", "las bibliotecas públicas", "biblioteca publica"),
        ("fa", "کتاب‌ها در كتابخانه", "کتاب کتابخانه"),
        ("fi", "kirjat ovat talossa", "kirjan taloissa"),
        ("fr", "les maisons de l’écrivain", "maison d'ecrivains"),
        ("hi", "पुस्तकें हिन्दी में", "पुस्तक हिंदी"),
        ("hu", "régi könyvek", "könyv"),
        ("it", "dell’università e le città", "universita citta"),
        ("ja", "国立図書館へ行く", "図書館"),
        ("km", "បណ្ណាល័យជាតិ", "បណ្ណាល័យ"),
        ("ko", "도서관에서 책을 읽는다", "도서관 책"),
        ("lo", "ຫໍສະໝຸດແຫ່ງຊາດ", "ຫໍສະໝຸດ"),
        ("my", "အမျိုးသားစာကြည့်တိုက်", "စာကြည့်တိုက်"),
        ("nl", "oude boeken", "boek"),
        ("no", "de gamle bøkene", "bøker"),
        ("pl", "z książkami", "książka"),
        ("pt", "os livros antigos", "livro antigo"),
        ("ro", "cărțile vechi", "cartile"),
        ("ru", "с книгами и ёлками", "книга елка"),
        ("sv", "bilarna och böckerna", "bilar böcker"),
        ("th", "หอสมุดแห่งชาติ", "หอสมุด"),
        ("tr", "Kitaplar İstanbul'da", "kitap istanbul"),
        ("vi", "thư viện Hoà Bình", "thư viện hòa bình"),
        ("zh", "国家图书馆里", "图书馆"),
    ],
)
def test_a_document_is_found_by_other_forms_of_its_words(
    language: str, document: str, query: str
) -> None:
    analyser = Analyser(language)
    held = set(analyser.analyse_many([document], index=True)[0])
    asked = analyser.analyse(query)
    assert asked and set(asked) <= held
