import msgspec

from pinchtune.records import Message
from pinchtune.study.graph import build


def keys(recipe):
    return {name: step.key for name, step in build(recipe).steps.items()}


def test_steps_come_after_their_inputs(small_recipe):
    seen = set()
    for name, step in build(small_recipe).steps.items():
        assert set(step.inputs) <= seen
        seen.add(name)


def test_a_key_changes_with_a_setting_and_with_every_input_before_it(small_recipe):
    before = keys(small_recipe)
    after = keys(small_recipe.model_copy(update={"seed": 1}))
    changed = {name.split("/")[0] for name in before if before[name] != after[name]}
    assert changed == {"mix", "tune", "answer", "identify", "judge", "score", "report"}


def test_the_studys_name_changes_the_report_alone(small_recipe):
    before, after = keys(small_recipe), keys(small_recipe.model_copy(update={"name": "other"}))
    assert [name for name in before if before[name] != after[name]] == ["report"]


def test_an_edited_file_is_another_source(small_recipe, tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n')
    source = small_recipe.data.train.model_copy(update={"source": str(path), "language": "en"})
    recipe = small_recipe.model_copy(update={"data": small_recipe.data.model_copy(update={"train": source})})
    before = keys(recipe)
    path.write_text('{"instruction": "a", "output": "c"}\n')
    assert keys(recipe)["examples/en"] != before["examples/en"]
    assert keys(recipe)["prompts/en"] == before["prompts/en"]


def test_a_pack_that_grows_changes_nothing_for_those_who_use_its_short_part(small_recipe, monkeypatch):
    from pinchtune.sources import pack

    before = keys(small_recipe)
    whole = pack.entries

    def grown(tag):
        longer = whole(tag)[0]
        long_turn = Message(role="assistant", content="word " * 300)
        turns = (longer.turns[0], long_turn)
        return (*whole(tag), msgspec.structs.replace(longer, id="a-long-one", turns=turns))

    monkeypatch.setattr(pack, "entries", grown)
    assert keys(small_recipe) == before
    wider = small_recipe.data.train.model_copy(update={"max_words": None, "limit": None})
    assert (
        keys(small_recipe.model_copy(update={"data": small_recipe.data.model_copy(update={"train": wider})})) != before
    )
