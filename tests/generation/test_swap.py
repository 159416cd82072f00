"""Adapters changed on a base model that stays loaded."""

import shutil

import pytest

from pinchtune import models
from pinchtune.errors import ModelError
from pinchtune.generation.engines.transformers import TransformersEngine
from pinchtune.records import Message, Sampling

CONVERSATIONS = [
    (Message(role="user", content="Name a colour."),),
    (Message(role="user", content="What is a cat, and why?"),),
]


def adapter(folder, base, *, seed, **settings):
    """Write an adapter of random weights, large enough to change every answer."""
    import peft
    import torch

    torch.manual_seed(seed)
    model = models.load_model(models.resolve(str(base)))
    model = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules="all-linear", **settings))
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    models.load_tokenizer(str(base)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def adapters(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    return [adapter(folder / str(seed), tiny_model, seed=seed) for seed in (1, 2)]


def said(engine):
    """Return answers and log-probabilities."""
    return engine.generate(CONVERSATIONS, Sampling(max_new_tokens=12)), engine.choose(CONVERSATIONS, ("A", "B"))


def opened(model):
    engine = TransformersEngine(model)
    made = said(engine)
    engine.close()
    return made


def test_what_it_says_is_to_the_last_bit_what_an_engine_opened_on_it_says(tiny_model, adapters):
    first, second = adapters
    bare = str(tiny_model)
    fresh = {one: opened(one) for one in (first, second, bare)}
    assert len({str(one) for one in fresh.values()}) == 3
    engine = TransformersEngine(bare)
    for one in (first, second, bare, first, first):
        assert engine.swap(one)
        assert said(engine) == fresh[one]


def test_the_output_layer_alone_is_not_frozen_whatever_is_taken_up(tiny_model, adapters):
    # By a frozen one torch multiplies the last token of each prompt by itself, which takes several times as long.
    engine = TransformersEngine(str(tiny_model))
    for one in (str(tiny_model), *adapters, str(tiny_model)):
        assert engine.swap(one)
        (weight,) = [weight for weight in engine._model.parameters() if weight.requires_grad]
        assert weight is engine._model.get_output_embeddings().weight


def test_the_template_is_that_of_the_adapter_taken_up(adapters, tmp_path):
    other = str(shutil.copytree(adapters[1], tmp_path / "other"))
    tokenizer = models.load_tokenizer(other)
    tokenizer.chat_template = "{% for message in messages %}Q: {{ message['content'] }}<end_of_turn>{% endfor %}"
    tokenizer.save_pretrained(other)
    engine = TransformersEngine(adapters[1])
    before = said(engine)
    assert engine.swap(other)
    assert said(engine) == opened(other) != before


@pytest.mark.parametrize(
    "settings", [{"modules_to_save": ["lm_head"]}, {"bias": "all"}, {"init_lora_weights": "olora"}], ids=str
)
@pytest.mark.filterwarnings("ignore")  # PEFT's own, of tied weights and of weights that are changed
def test_an_adapter_that_would_leave_something_in_the_base_is_not_taken_off(tiny_model, adapters, tmp_path, settings):
    engine = TransformersEngine(adapter(tmp_path / "other", tiny_model, seed=3, **settings))
    before = said(engine)
    assert not engine.swap(adapters[0])
    assert said(engine) == before


def test_another_base_model_is_not_taken_up_and_none_at_all_is_refused(tiny_model, adapters, tmp_path):
    engine = TransformersEngine(adapters[0])
    before = said(engine)
    assert not engine.swap(str(shutil.copytree(tiny_model, tmp_path / "other")))
    with pytest.raises(ModelError, match="There is no model"):
        engine.swap("no-such-model")
    assert said(engine) == before
