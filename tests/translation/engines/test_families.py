import langcodes
import pytest

from pinchtune import languages
from pinchtune.errors import LanguageError, ModelError
from pinchtune.translation.engines import codes
from pinchtune.translation.engines.families import Madlad, Marian, Nllb, recognise

END, UNKNOWN = 2, 3
#: Members whose three letters are not those of their language's two.
MACRO = "als arb ayr azj gaz khk kmr lvs nob npi ory pbt pes plt prs quy swh tgl uzn ydd yue zho zsm"


class Tokenizer:
    """Words for tokens."""

    eos_token_id, unk_token_id = END, UNKNOWN

    def __init__(self, *tokens, extra=()):
        self._words = ["<s>", "<pad>", "</s>", "<unk>", *tokens, *extra]

    def get_vocab(self):
        return {word: number for number, word in enumerate(self._words)}

    def encode(self, text, **_):
        return [self._words.index(word) if word in self._words else UNKNOWN for word in text.split()]

    def decode(self, ids, **_):
        return "".join(self._words[number] for number in ids)


class MarianLike(Tokenizer):
    source_lang = target_lang = None

    def __init__(self, *codes_):
        self.supported_language_codes = [f">>{code}<<" for code in codes_]
        super().__init__(*self.supported_language_codes)


def test_the_table_has_codes_that_nllb_has():
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    assert len(codes.FLORES) >= 140
    assert set(codes.FLORES.values()) <= set(FAIRSEQ_LANGUAGE_CODES)


@pytest.mark.parametrize("tag", codes.FLORES)
def test_every_row_of_the_table_is_one_language_in_the_script_it_says(tag):
    language = languages.parse(tag)
    assert language.tag == tag, "a key is a tag in its shortest form"
    three, script = codes.FLORES[tag].split("_")
    assert three in MACRO or langcodes.Language.get(three).to_tag() == language.base
    assert script == {"Kore": "Hang"}.get(language.script, language.script)


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("fi", "fin_Latn"), ("sw", "swh_Latn"), ("ar", "arb_Arab"), ("zh", "zho_Hans"), ("zh-Hant", "zho_Hant"),
        ("zh-TW", "zho_Hant"), ("zh-CN", "zho_Hans"), ("sr", "srp_Cyrl"), ("sr-Cyrl", "srp_Cyrl"),
        ("pt-BR", "por_Latn"), ("es-419", "spa_Latn"), ("no", "nob_Latn"), ("tl", "tgl_Latn"), ("iw", "heb_Hebr"),
        ("fa-AF", "prs_Arab"), ("ko", "kor_Hang"), ("szl", "szl_Latn"), ("arb", "arb_Arab"),
    ],
)  # fmt: skip
def test_tags_have_flores_codes(tag, code):
    assert codes.flores(tag) == code


def test_every_language_of_the_paper_and_its_case_study_is_in_the_table():
    assert {*languages.PAPER, *languages.SLAVIC} <= set(codes.FLORES)


def test_another_script_is_never_taken_for_the_usual_one():
    assert codes.flores("sr-Latn") == "srp_Latn"
    assert "srp" not in codes.spellings("sr-Latn")
    assert "zh" not in codes.spellings("zh-Hant")
    assert "zh" in codes.spellings("zh")


def test_what_is_no_tag_is_refused():
    with pytest.raises(LanguageError, match="not a language tag"):
        codes.flores("finnish")


def test_nllb_is_told_both_languages_by_their_codes():
    family = recognise(Tokenizer("eng_Latn", "fin_Latn", "Hello"), "any")
    assert isinstance(family, Nllb)
    assert family.encode("Hello", "en", "fi") == [4, 6, END]
    assert family.forced("fi") == [5]
    assert family.supports("en", "fi")
    assert not family.supports("en", "es")
    assert not family.supports("es", "fi")
    assert not family.supports("en", "en-GB"), "one language for the model"


def test_madlad_is_told_the_target_by_a_token():
    family = recognise(Tokenizer("<2en>", "<2fi>", "<2iw>", "<2no>", "<2zh>", "Hello"), "any")
    assert isinstance(family, Madlad)
    assert family.encode("Hello", "en", "fi") == [5, 9, END]
    assert family.forced("fi") == []
    assert [family.code(tag) for tag in ("he", "nb", "zh", "zh-Hant", "sr")] == ["<2iw>", "<2no>", "<2zh>", None, None]


@pytest.mark.parametrize(
    ("name", "source", "targets"),
    [
        ("Helsinki-NLP/opus-mt-en-fi", "en", {"fi"}),
        ("/models/opus-mt-tc-big-en-fi/", "en", {"fi"}),
        ("Helsinki-NLP/opus-mt-tc-base-fi-es", "fi", {"es"}),
        ("Helsinki-NLP/opus-mt-en-jap", "en", {"ja"}),
        ("Helsinki-NLP/opus-tatoeba-en-ja", "en", {"ja"}),
        ("Helsinki-NLP/opus-mt-zls-fi", "sl", {"fi"}),
        ("Helsinki-NLP/opus-mt-mul-fi", "sw", {"fi"}),
        ("Helsinki-NLP/opus-mt-tc-bible-big-deu_eng_fra-fin", "en", {"fi"}),
    ],
)
def test_an_opus_pair_is_in_the_models_name(name, source, targets):
    family = recognise(MarianLike(), name)
    assert isinstance(family, Marian)
    assert {tag for tag in ("fi", "es", "ja", "et", "de") if family.supports(source, tag)} == targets
    assert not family.supports("hu", "fi") or "mul" in name


def test_an_opus_group_is_in_the_tokenizers_codes():
    family = recognise(MarianLike("ces", "srp_Cyrl", "srp_Latn", "hrv", "por", "pob", "cmn_Hans"), "opus-mt-en-mul")
    tags = ("cs", "sr", "sr-Latn", "hr", "sl", "pt", "pt-BR", "zh", "zh-Hant")
    assert {tag: family.code(tag) for tag in tags} == {
        "cs": ">>ces<<", "sr": ">>srp_Cyrl<<", "sr-Latn": ">>srp_Latn<<", "hr": ">>hrv<<", "sl": None,
        "pt": ">>por<<", "pt-BR": ">>pob<<", "zh": ">>cmn_Hans<<", "zh-Hant": None,
    }  # fmt: skip
    assert family.supports("en", "cs")
    assert not family.supports("fi", "cs")


def test_an_opus_model_in_a_folder_of_another_name_is_told_by_its_tokenizer_or_by_settings():
    tokenizer = MarianLike()
    with pytest.raises(ModelError, match="does not say which languages"):
        recognise(tokenizer, "/models/finnish")
    assert recognise(tokenizer, "/models/finnish", source="en", target="fi").supports("en", "fi")
    tokenizer.source_lang, tokenizer.target_lang = "eng", "fin"
    assert recognise(tokenizer, "/models/finnish").supports("en", "fi")


def test_a_model_of_no_known_family_is_refused():
    with pytest.raises(ModelError, match="not a translation model of a family we know"):
        recognise(Tokenizer("Hello"), "google/t5")


def test_an_end_within_a_text_is_not_an_end_for_the_model():
    family = recognise(Tokenizer("eng_Latn", "fin_Latn", "Hello"), "any")
    assert family.encode("Hello </s> Hello", "en", "fi") == [4, 6, UNKNOWN, 6, END]


def test_byte_pieces_are_put_together():
    family = recognise(Tokenizer("<2en>", "<0x41>", "<0xE2>", "<0x98>", "<0x83>", "A"), "any")
    assert family.decode([9, 6, 7, 8, 5]) == "A☃A"
    assert family.decode([6, 9]) == "\ufffdA"
