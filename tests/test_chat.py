import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinchtune import chat
from pinchtune.errors import ModelError, TrainingDataError
from pinchtune.records import Example, Message
from pinchtune.sources import pack
from tests.conftest import example


@pytest.fixture
def tokenizer(tiny_model):
    from pinchtune.models import load_tokenizer

    loaded = load_tokenizer(str(tiny_model))
    chat.ensure_template(loaded)
    return loaded


def test_the_familys_template_is_found_by_its_turn_markers(tokenizer):
    assert chat.stop_token(tokenizer) == "<eos>"
    rendered = chat.render(tokenizer, example("a", user="Hi", assistant="Hello").messages, answer_next=False)
    assert rendered == ("<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello<eos>\n")


def test_the_prompt_ends_where_the_model_speaks(tokenizer):
    assert chat.render(tokenizer, example("a").prompt, answer_next=True).endswith("<start_of_turn>model\n")


def test_a_system_turn_leads_the_first_user_turn(tokenizer):
    turns = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
    assert "user\nBe brief.\n\nHi<end_of_turn>" in chat.render(tokenizer, turns, answer_next=False)


def test_labels_are_the_response_and_its_stop_token_alone(tokenizer):
    encoded = chat.encode(tokenizer, example("a", user="What now?", assistant="Nothing at all."))
    trained = [label for label in encoded.labels if label != chat.IGNORED]
    assert tokenizer.decode(trained) == "Nothing at all.<eos>"
    assert len(encoded.labels) == len(encoded.input_ids)
    assert all(label in (chat.IGNORED, token) for label, token in zip(encoded.labels, encoded.input_ids, strict=True))


def test_every_response_of_a_conversation_is_trained(tokenizer):
    turns = tuple(
        Message(role=role, content=text)
        for role, text in (("user", "One?"), ("assistant", "First."), ("user", "Two?"), ("assistant", "Second."))
    )
    encoded = chat.encode(tokenizer, Example(id="a", language="en", messages=turns))
    trained = tokenizer.decode([label for label in encoded.labels if label != chat.IGNORED])
    assert trained == "First.<eos>Second.<eos>"
    assert tokenizer.decode(encoded.input_ids).count("<bos>") == 1


def test_the_prompt_is_tokenized_alike_in_tuning_and_answering(tokenizer):
    one = example("a", user="Why so?", assistant="Because.")
    prompt_ids = chat.encode_prompt(tokenizer, one.prompt)
    assert chat.encode(tokenizer, one).input_ids[: len(prompt_ids)] == prompt_ids


@settings(max_examples=60, deadline=None)
@given(user=st.text(max_size=80), response=st.text(min_size=1, max_size=80))
def test_any_text_is_proven_or_refused_by_name(tiny_tokenizer, user, response):
    chat.ensure_template(tiny_tokenizer)
    one = example("some-id", user=user, assistant=response)
    try:
        encoded = chat.encode(tiny_tokenizer, one)
    except TrainingDataError as error:
        assert "'some-id'" in str(error)
    else:
        stop = tiny_tokenizer.eos_token_id
        assert encoded.labels[-1] == stop


def test_the_whole_pack_is_proven_under_every_built_in_template_the_vocabulary_has(tokenizer):
    for template in ("gemma", "plain"):
        chat.ensure_template(tokenizer, template)
        for tag in ("en", "ar", "zh"):
            for entry in pack.entries(tag)[:40]:
                chat.encode(tokenizer, pack.to_example(entry))


def test_a_template_that_drops_the_stop_token_is_an_error_that_names_the_example(tokenizer, tmp_path):
    file = tmp_path / "cut.jinja"
    file.write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content[:12] }}<end_of_turn>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    chat.ensure_template(tokenizer, str(file))
    with pytest.raises(TrainingDataError, match="'long-one'"):
        chat.encode(tokenizer, example("long-one", assistant="A response that this template truncates."))


def test_a_template_whose_end_marker_is_no_token_is_refused(tokenizer):
    with pytest.raises(ModelError, match="could not learn to stop"):
        chat.ensure_template(tokenizer, "chatml")


def test_a_model_of_unknown_family_without_template_is_refused(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "get_vocab", lambda: {"a": 1})
    tokenizer.chat_template = None
    with pytest.raises(ModelError, match="has no chat template") as raised:
        chat.ensure_template(tokenizer)
    assert "--chat-template plain" in raised.value.hint


def test_an_unknown_template_is_refused_with_the_known_ones(tokenizer):
    with pytest.raises(ModelError) as raised:
        chat.ensure_template(tokenizer, "gema")
    assert "Did you mean gemma?" in raised.value.hint


def test_a_template_that_refuses_a_conversation_is_a_sentence(tokenizer, tmp_path):
    file = tmp_path / "strict.jinja"
    file.write_text("{{ raise_exception('no system turns') }}")
    with pytest.raises(ModelError, match="no system turns"):
        chat.ensure_template(tokenizer, str(file))
