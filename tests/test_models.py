import pytest

from pinchtune import models
from pinchtune.errors import ModelError


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="is not a model: it has neither config.json"):
        models.resolve(str(tmp_path))


@pytest.mark.parametrize("name", ["nowhere", "./nowhere/at-all", "a/b/c", "/no/such"])
def test_a_name_that_can_be_no_model_is_refused(name):
    with pytest.raises(ModelError, match="There is no model"):
        models.resolve(name)


def test_a_name_of_the_hub_is_taken_as_one():
    assert models.resolve("google/gemma-3-270m").base == "google/gemma-3-270m"


def test_a_folder_of_a_full_model_is_its_own_base(tiny_model):
    assert models.resolve(str(tiny_model)) == models.Source(str(tiny_model))


def test_an_unloadable_folder_is_a_sentence(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "no-such-type"}')
    with pytest.raises(ModelError, match="could not be loaded"):
        models.load_model(models.resolve(str(tmp_path)))


def test_the_cache_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("PINCHTUNE_CACHE", str(tmp_path))
    assert models.embedded_folder().is_relative_to(tmp_path)
