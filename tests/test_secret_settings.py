import pytest

from pinchtune import recipe
from pinchtune.engine import open_engine
from pinchtune.errors import PinchError, RecipeError
from pinchtune.secret_settings import refuse_secrets


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": "x"},
        {"extra": {"extra_headers": {"Authorization": "x"}}},
        {"clientSecret": "x"},
        {"headers": [{"x-api-key": "x"}]},
        {"extra": {"extra_headers": {"Cookie": "session=1"}}},
        {"extra": {"extra_headers": {"X-Custom": "Bearer x"}}},
        {"headers": ["basic dXNlcjpwYXNz"]},
        {"header": "Basic abc123"},
        {"note": "sk-abcdefghij"},
        {"note": "use sk-proj-a1-b2c3d4e5f6g7 here"},
        {"deep": [[{"note": "hf_AbCdEfGhIjKl"}]]},
        {"base_url": "https://user:pass@example.org/v1"},
        {"base_url": "http://example.org/v1?a=b&api_key=x"},
        {"url": "https://example.org?key=x"},
        {"url": "https://example.org/?access_token=x"},
        {"url": "https://example.org/?password=x"},
    ],
)
def test_a_setting_that_looks_like_a_key_is_refused_at_any_depth(settings):
    with pytest.raises(PinchError, match="looks like a key or password"):
        refuse_secrets(settings)


@pytest.mark.parametrize(
    "text",
    [
        "Basic English",
        "Bearer of the news is here",
        "a risk-free-and-simple-answers task",
        "https://example.org/v1?version=2",
        "https://example.org/@someone",
        "write to me@example.org",
        "sk-short",
        "google/gemma-3-270m",
    ],
)
def test_texts_that_only_resemble_a_secret_are_left_alone(text):
    refuse_secrets({"note": text})


@pytest.mark.parametrize(
    "settings",
    [{"prompt_cache_key": "x"}, {"stop_token": "<eos>"}, {"api_key": ""}, {"max_tokens": 4}, {"key_of": {"a": 1}}],
)
def test_other_settings_are_left_alone(settings):
    refuse_secrets(settings)


def test_an_endpoint_opened_from_python_takes_no_key_among_its_settings():
    with pytest.raises(PinchError, match=r"extra\.extra_headers\.Authorization"):
        open_engine("endpoint", "some-model", extra={"extra_headers": {"Authorization": "Bearer x"}})


def test_a_recipe_holds_no_key():
    given = recipe.load("tiny").model_dump(mode="json")
    given["judging"]["settings"] = {"api_key": "x"}
    with pytest.raises(RecipeError, match="looks like a key or password") as caught:
        recipe.parse(given)
    assert "OPENAI_API_KEY" in str(caught.value)
