import json

import pytest

from pinchtune.errors import DataError, PinchError
from pinchtune.study import reading, single
from tests.cli.test_cli import pinch


@pytest.fixture
def lima(tmp_path):
    path = tmp_path / "lima.jsonl"
    rows = [{"conversations": [f"Question {n}?", f"Answer {n}."], "source": "test"} for n in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_named_data_set_is_read_from_a_copy_and_its_terms_are_told(lima):
    seen = []
    examples, duplicates = reading.read_examples([f"lima={lima}"], on_source=seen.append)
    assert [one.response for one in examples] == [f"Answer {n}." for n in range(4)]
    assert duplicates == 0
    assert seen[0].name == "GAIR/lima"
    assert "licence" in reading.terms(seen[0])
    assert "https://huggingface.co/datasets/GAIR/lima" in reading.terms(seen[0])


def test_a_mixture_keeps_its_sources_terms_in_the_manifest(lima, tmp_path):
    options = {"language": "en", "n_examples": 2}
    kept = single.mix([f"lima={lima}"], tmp_path / "m", design="monolingual", options=options)
    (source,) = kept.manifest.notes["sources"]
    assert source["name"] == "GAIR/lima"
    assert source["gated"] is True
    assert source["licence"]


def test_a_data_set_of_prompts_is_nothing_to_tune_on(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"instruction": "Why?", "input": "", "dataset": "koala"}]))
    with pytest.raises(DataError, match="holds prompts to evaluate on"):
        reading.read_examples([f"alpacafarm={path}"])
    (asked,) = reading.read_prompts(f"alpacafarm={path}")
    assert asked.instruction == "Why?"


def test_an_option_that_a_data_set_has_not_is_refused(lima):
    with pytest.raises(PinchError, match="lima has no option 'turns'"):
        reading.read_examples([f"lima={lima}"], options={"turns": 2})


def test_the_named_data_sets_are_listed_with_their_licences():
    found = json.loads(pinch("data", "sources", "--json").stdout)
    assert set(found) >= {"lima", "oasst", "alpacafarm", "aya"}
    assert all(one["licence"] and one["page"].startswith("https://") for one in found.values())
