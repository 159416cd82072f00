import json

import pytest

from pinchtune.errors import DataError
from pinchtune.scoring.shares import pretraining_shares

GOOD = {
    "a.csv": "tag,share\nen,0.5\nfi,2.5%\nno,0.01\n",
    "b.csv": "\ufeffLanguage, Share ,documents\nen,0.5,100\n\nfi,2.5%,5\nno,0.01,2\n",
    "c.tsv": "share\tlang\n0.5\ten\n2.5 %\tfi\n0.01\tno\n",
    "d.json": '{"en": 0.5, "fi": "2.5%", "no": 1e-2}',
    "e.yaml": "# of tokens\nen: 0.5\nfi: 2.5%\nno: 0.01\n",
    "f.YML": "{en: 0.5, fi: '2.5%', no: 0.01}",
}


@pytest.mark.parametrize("name", GOOD)
def test_every_format_gives_the_same_shares(tmp_path, name):
    (tmp_path / name).write_text(GOOD[name], encoding="utf-8")
    # "no" is Norwegian here, and not YAML's word for false.
    assert pretraining_shares(tmp_path / name) == pytest.approx({"en": 0.5, "fi": 0.025, "no": 0.01})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "tag,share\nen,0.5\nfinnish,0.1\n", r"line 3: 'finnish' is not a language tag.*\n.*Did you mean fi"),
        ("a.csv", "tag,share\nen,half\n", r"line 2: The share of en is 'half'"),
        ("a.csv", "tag,share\nen,12\n", r"share of en is '12', which is no fraction from 0 to 1.*\n.*percentages"),
        ("a.csv", "tag,share\nen,nan\n", "line 2: The share of en is 'nan'"),
        ("a.csv", "tag,share\nen,-0.1\n", "line 2: The share of en is '-0.1'"),
        ("a.csv", "tag,share\nen,\n", "line 2: The share of en is ''"),
        ("a.csv", "tag,share\nen,0,5\n", "line 2: There are 3 cells under 2 columns"),
        ("a.csv", "en,0.5\nfi,0.1\n", r"line 1: The columns are en, 0.5"),
        ("a.csv", "", "line 1: The columns are none"),
        ("a.csv", "tag,share\n", "It holds no language"),
        ("a.csv", "tag,share\nen,0.1\nfi,0.1\nen,0.2\n", "line 4: The language en is given twice"),
        ("a.csv", "tag,share\nen,0.8\nfi,0.3\n", r"add up to 1.1, more than 1"),
        ("a.json", '{"en": 0.1, "en": 0.2}', "The language en is given twice"),
        ("a.json", '{"en": {"share": 1}}', "The share of en is no number"),
        ("a.json", '{"en": NaN}', "The share of en is no number"),
        ("a.json", "[0.5]", "no object of languages"),
        ("a.json", '{\n"en": 0.5,,}', "line 2: It is not JSON"),
        ("a.yaml", "en: 0.1\nfi: 0.1\nen: 0.2\n", "line 3: The language en is given twice"),
        ("a.yaml", "en: [1]\n", "line 1: It is not a language and a share"),
        ("a.yaml", "- en\n", "no mapping"),
        ("a.yaml", "en: 0.1\n  fi: {", "line 2: It is not YAML"),
        ("a.yaml", "", "no mapping"),
        ("a.xlsx", "", "cannot be read from a .xlsx file"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path, name, text, message):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        pretraining_shares(tmp_path / name)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        pretraining_shares(tmp_path / "none.csv")
    (tmp_path / "odd.csv").write_bytes(b"tag,share\n\xff\xfe,0.1\n")
    with pytest.raises(DataError, match="cannot be read"):
        pretraining_shares(tmp_path / "odd.csv")


def test_a_json_table_written_by_python_reads_back(tmp_path):
    given = {"en": 0.4642, "zh": 0.1, "pt-BR": 1e-05}
    (tmp_path / "t.json").write_text(json.dumps(given))
    assert pretraining_shares(str(tmp_path / "t.json")) == given
