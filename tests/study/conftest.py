import pytest

from pinchtune import recipe


@pytest.fixture
def small_recipe(tiny_model):
    """A study of every stage that takes seconds: two mixtures, two languages, a tiny model."""
    return recipe.parse(
        {
            "name": "small",
            "base_model": str(tiny_model),
            "languages": ["en", "fi"],
            "data": {"train": {"max_words": 30, "limit": 12}, "eval": {"max_words": 40, "limit": 3}},
            "mixtures": {
                "english": {"design": "monolingual", "n_examples": 8},
                "pinch": {"design": "pinch", "languages": ["fi"], "n_examples": 8, "pinch_examples": 3},
            },
            "tuning": {"epochs": 1, "batch_size": 4, "learning_rate": 5e-3},
            "generation": {"engine": "transformers", "max_new_tokens": 8},
            "comparisons": [
                {"candidate": "pinch", "baseline": "english"},
                {"candidate": "pinch", "baseline": "base"},
            ],
        }
    )


@pytest.fixture
def renamed():
    """Return a function that gives a recipe's mixtures other names."""

    def rename(given, **names):
        settings = given.model_dump(mode="json")
        settings["mixtures"] = {names.get(name, name): one for name, one in settings["mixtures"].items()}
        for comparison in settings["comparisons"]:
            for side in ("candidate", "baseline"):
                comparison[side] = names.get(comparison[side], comparison[side])
        return recipe.parse(settings)

    return rename
