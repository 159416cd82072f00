"""Engines kept open from one step to the next."""

import pytest

from pinchtune import models
from pinchtune.study import steps
from pinchtune.study.executors.warm import Warm
from pinchtune.study.graph import Graph
from pinchtune.study.progress import Silent
from pinchtune.study.run import run


class Wardrobe:
    """An engine that takes up adapters of the base model "base/..." and no others."""

    opened = []

    def __init__(self, model):
        self.model = model
        self.closed = False
        self.opened.append(self)

    def swap(self, model):
        if model == "base/broken":
            raise RuntimeError("half taken off")
        if not model.startswith("base/"):
            return False
        self.model = model
        return True

    def close(self):
        self.closed = True


@pytest.fixture
def context(tmp_path, monkeypatch):
    monkeypatch.setattr(Wardrobe, "opened", [])
    monkeypatch.setattr(steps, "open_engine", lambda _name, model, on_note: Wardrobe(model))
    return Warm(tmp_path, Graph(), Silent())


def test_the_base_model_is_loaded_once_for_all_its_adapters(context):
    for model in ("base/one", "base/one", "base/two", "base/one"):
        assert context.engine("transformers", model).model == model
    assert len(Wardrobe.opened) == 1


def test_another_base_model_is_opened_and_the_first_one_closed(context):
    first = context.engine("transformers", "base/one")
    assert context.engine("transformers", "other").model == "other"
    assert first.closed
    # Another engine's adapters are not this one's.
    assert context.engine("vllm", "base/one") not in Wardrobe.opened[:2]


def test_an_engine_that_breaks_in_the_swap_is_not_used_again(context):
    first = context.engine("transformers", "base/one")
    with pytest.raises(RuntimeError, match="half taken off"):
        context.engine("transformers", "base/broken")
    assert first.closed
    assert context.engine("transformers", "base/one") is not first


def test_a_study_loads_its_base_model_once_for_all_models_that_answer(small_recipe, tmp_path, monkeypatch):
    loaded = []
    load = models.load_model

    def counted(source, **options):
        loaded.append(source.base)
        return load(source, **options)

    monkeypatch.setattr(models, "load_model", counted)
    ran = run(small_recipe, tmp_path / "one")
    answered = {name.split("/")[1] for name in ran.done if name.startswith("answer/")}
    assert answered == {"base", "english", "pinch"}
    n_tuned = sum(name.startswith("tune/") for name in ran.done)
    assert loaded == [small_recipe.base_model] * (n_tuned + 1)
