import json

import pytest

from pinchtune import machine
from pinchtune.errors import ModelError, PinchError
from pinchtune.models import load_model, load_tokenizer, resolve
from pinchtune.sources import pack
from pinchtune.tuning.settings import TuningSettings
from pinchtune.tuning.train import tune

SETTINGS = TuningSettings(epochs=2, batch_size=4, learning_rate=5e-3)


@pytest.fixture(scope="module")
def examples():
    return list(pack.examples(["en"], max_words=30))[:12]


@pytest.fixture(scope="module")
def tuned(tiny_model, examples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned") / "model"
    steps = []
    result = tune(
        examples,
        base=str(tiny_model),
        output=folder,
        settings=SETTINGS,
        on_progress=lambda done, total: steps.append((done, total)),
    )
    return folder, result, steps


def test_the_loss_falls_and_every_step_is_told(tuned):
    _, result, steps = tuned
    assert [step for step, _ in result.loss] == [1, 2, 3, 4, 5, 6]
    assert result.loss[-1][1] < result.loss[0][1]
    assert steps[0] == (0, 6)
    assert steps[-1] == (6, 6)


def test_the_folder_loads_in_transformers_and_peft_with_its_template(tuned):
    folder, *_ = tuned
    tokenizer = load_tokenizer(str(folder))
    assert "<start_of_turn>" in tokenizer.chat_template
    model = load_model(resolve(str(folder)))
    stop = tokenizer.eos_token_id
    saved = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    assert stop in (saved if isinstance(saved, list) else [saved])
    assert any("lora" in name for name, _ in model.named_parameters())


def test_the_card_says_what_the_model_is_made_of(tuned):
    card = (tuned[0] / "README.md").read_text()
    assert "| English | en | 12 |" in card
    assert "library_name: peft" in card
    assert "learning_rate: 0.005" in card


def test_what_was_computed_in_is_told_for_auto_depends_on_the_machine(tuned):
    folder, result, _ = tuned
    assert result.dtype == machine.number_type()
    assert f"Computed in {result.dtype}." in (folder / "README.md").read_text()


def test_the_adapters_modules_are_written_in_order(tuned):
    modules = json.loads((tuned[0] / "adapter_config.json").read_text())["target_modules"]
    assert len(modules) > 3
    assert modules == sorted(modules)


def test_checkpoints_are_gone_at_the_end(tuned):
    assert not (tuned[0] / "checkpoints").exists()


def test_a_seed_repeats_a_run_to_the_last_digit(tuned, tiny_model, examples, tmp_path):
    again = tune(examples, base=str(tiny_model), output=tmp_path / "m", settings=SETTINGS)
    assert again.loss == tuned[1].loss


class KilledError(Exception):
    pass


def test_a_killed_run_goes_on_from_its_checkpoint_and_ends_alike(tiny_model, tmp_path, monkeypatch):
    from pinchtune.tuning import train

    arguments = train._arguments

    def often(*given):
        made = arguments(*given)
        made.save_steps = 2
        return made

    monkeypatch.setattr(train, "_arguments", often)
    examples = list(pack.examples(["en"], max_words=30))[:12]

    def kill(done, _total):
        if done == 5:
            raise KilledError

    with pytest.raises(KilledError):
        tune(examples, base=str(tiny_model), output=tmp_path / "m", settings=SETTINGS, on_progress=kill)
    assert (tmp_path / "m" / "checkpoints" / "checkpoint-4").is_dir()
    # A torn checkpoint, as a kill in the middle of saving leaves it, is passed over.
    (tmp_path / "m" / "checkpoints" / "checkpoint-6").mkdir()
    seen = []
    resumed = tune(
        examples,
        base=str(tiny_model),
        output=tmp_path / "m",
        settings=SETTINGS,
        on_progress=lambda done, _: seen.append(done),
    )
    whole = tune(examples, base=str(tiny_model), output=tmp_path / "w", settings=SETTINGS)
    assert seen[0] == 4
    assert resumed.loss[-1][1] == pytest.approx(whole.loss[-1][1], rel=1e-5)


def test_full_tuning_saves_a_whole_model(tiny_model, examples, tmp_path):
    tune(
        examples,
        base=str(tiny_model),
        output=tmp_path / "m",
        settings=TuningSettings(method="full", epochs=1, batch_size=4),
    )
    assert (tmp_path / "m" / "model.safetensors").is_file()
    assert (tmp_path / "m" / "config.json").is_file()
    assert "library_name: transformers" in (tmp_path / "m" / "README.md").read_text()


def test_a_sampled_softmax_also_trains(tiny_model, examples, tmp_path):
    settings = TuningSettings(epochs=2, batch_size=4, learning_rate=5e-3, softmax="sampled")
    result = tune(examples, base=str(tiny_model), output=tmp_path / "m", settings=settings)
    assert result.loss[-1][1] < result.loss[0][1]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_an_adapter_is_not_tuned(tuned, examples, tmp_path, method):
    with pytest.raises(ModelError, match="is an adapter"):
        tune(examples, base=str(tuned[0]), output=tmp_path / "m", settings=TuningSettings(method=method))


def test_a_tracker_that_is_not_installed_is_said_with_what_to_type(tiny_model, examples, tmp_path):
    from transformers.integrations import get_available_reporting_integrations

    missing = sorted({"neptune", "swanlab", "clearml"} - set(get_available_reporting_integrations()))
    if not missing:
        pytest.skip("all of them are installed")
    with pytest.raises(PinchError, match=f"pip install {missing[0]}"):
        tune(examples, base=str(tiny_model), output=tmp_path / "m", settings=TuningSettings(report_to=(missing[0],)))


def test_tensorboards_files_stay_with_the_model(tiny_model, examples, tmp_path):
    pytest.importorskip("tensorboard")
    settings = TuningSettings(epochs=1, batch_size=4, report_to=("tensorboard",))
    tune(examples, base=str(tiny_model), output=tmp_path / "m", settings=settings)
    assert list((tmp_path / "m" / "runs").rglob("events.out.tfevents.*"))


def test_four_bits_and_all_weights_contradict_each_other(tiny_model, examples, tmp_path):
    with pytest.raises(ModelError, match="frozen"):
        tune(
            examples,
            base=str(tiny_model),
            output=tmp_path / "m",
            settings=TuningSettings(method="full", quantization="4bit"),
        )
