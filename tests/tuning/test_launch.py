import json
import os
import time

import pytest
import yaml

from pinchtune import store
from pinchtune.errors import MissingExtraError, ModelError, PinchError, RunError
from pinchtune.records import Example
from pinchtune.sources import pack
from pinchtune.tuning import launch
from pinchtune.tuning.settings import TuningSettings
from pinchtune.tuning.train import tune
from tests.conftest import example

# In float32 on every machine: sums over processes come in another order, which bfloat16 rounds otherwise.
ONE = TuningSettings(epochs=2, batch_size=4, learning_rate=5e-3, dtype="float32")
TWO = TuningSettings(epochs=2, batch_size=2, learning_rate=5e-3, dtype="float32", processes=2)
SHIPPED = ("ddp", "deepspeed-zero2", "deepspeed-zero3", "fsdp2")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_config_is_one_that_accelerate_reads(name):
    from accelerate.commands.config.config_args import load_config_from_file

    path = launch.config_file(name)
    assert load_config_from_file(str(path)).num_machines == 1
    assert sorted(one.stem for one in path.parent.glob("*.yaml")) == sorted(SHIPPED)


def test_without_a_config_it_is_ddp_and_a_file_of_ones_own_is_taken(tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text("distributed_type: MULTI_GPU")
    assert launch.config_file(None) == launch.config_file("ddp")
    assert launch.config_file(str(own)) == own


def test_a_misspelt_config_is_refused_with_the_nearest_one(tiny_model, tmp_path):
    settings = TWO.model_copy(update={"accelerate_config": "fspd2"})
    with pytest.raises(PinchError, match="Did you mean fsdp2"):
        tune([example("a")], base=str(tiny_model), output=tmp_path / "m", settings=settings)


def test_a_job_is_plain_files_that_hold_the_whole_run(tmp_path):
    path = launch.write_job(tmp_path, [example("a")], base="b", output="o", settings=TWO, seed=3)
    job = json.loads(path.read_text())
    assert list(store.read_records(tmp_path / "examples.jsonl", Example)) == [example("a")]
    assert TuningSettings(**job["settings"]) == TWO
    assert (job["base"], job["seed"], os.path.isabs(job["output"])) == ("b", 3, True)


def test_a_config_of_several_machines_says_what_to_type_on_each(tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text(yaml.safe_dump({"distributed_type": "MULTI_GPU", "num_machines": 2}))
    with pytest.raises(PinchError, match="on every machine: accelerate launch"):
        launch.launch(tmp_path / "job.json", processes=4, config=str(own))


def test_deepspeed_that_is_missing_is_said_before_anything_starts(tmp_path):
    try:
        import deepspeed  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises((ModelError, MissingExtraError), match="pip install"):
            launch.launch(tmp_path / "job.json", processes=2, config="deepspeed-zero3")
    else:
        pytest.skip("DeepSpeed is installed")


@pytest.fixture(scope="module")
def examples():
    # Ten are no whole number of steps of four: the last has two, and blank rows beside them.
    return list(pack.examples(["en"], max_words=30))[:10]


@pytest.fixture(scope="module")
def alone(tiny_model, examples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "m"
    return folder, tune(examples, base=str(tiny_model), output=folder, settings=ONE)


@pytest.mark.real_model
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize(("config", "held"), [(None, "the whole model"), ("fsdp2", "a part of the weights")])
def test_two_processes_train_as_one_with_batches_twice_as_large(config, held, method, tiny_model, examples, tmp_path):
    from safetensors.torch import load_file

    notes, steps = [], []
    update = {"method": method}
    one = tune(examples, base=str(tiny_model), output=tmp_path / "1", settings=ONE.model_copy(update=update))
    two = tune(
        examples,
        base=str(tiny_model),
        output=tmp_path / "2",
        settings=TWO.model_copy(update=update | {"accelerate_config": config}),
        on_note=notes.append,
        on_progress=lambda done, total: steps.append((done, total)),
    )
    assert notes == [f"Tuned on 2 processes, each of which held {held}."]
    assert steps == [(done, 6) for done in range(7)]
    assert [loss for _, loss in two.loss] == pytest.approx([loss for _, loss in one.loss], rel=1e-5)
    assert (two.n_tokens, two.n_labels) == (one.n_tokens, one.n_labels)
    file = "adapter_model.safetensors" if method == "lora" else "model.safetensors"
    expected, found = load_file(tmp_path / "1" / file), load_file(tmp_path / "2" / file)
    assert expected.keys() == found.keys()
    assert max(float((expected[name] - found[name]).abs().max()) for name in expected) < 1e-4
    assert "processes: 2" in (tmp_path / "2" / "README.md").read_text()


@pytest.mark.real_model
def test_accumulation_on_two_processes_weighs_every_label_alike(tiny_model, examples, tmp_path):
    update = {"gradient_accumulation": 2}
    one = tune(examples, base=str(tiny_model), output=tmp_path / "1", settings=ONE.model_copy(update=update))
    two = tune(examples, base=str(tiny_model), output=tmp_path / "2", settings=TWO.model_copy(update=update))
    assert [loss for _, loss in two.loss] == pytest.approx([loss for _, loss in one.loss], rel=1e-5)


class KilledError(Exception):
    pass


@pytest.mark.real_model
def test_a_killed_run_leaves_no_process_and_goes_on_from_its_checkpoint(tiny_model, examples, tmp_path, monkeypatch):
    # Over 25 steps, where a checkpoint is written, and in the middle of an epoch.
    many = [Example(id=str(n), language="en", messages=examples[n % 10].messages) for n in range(60)]
    settings = TWO.model_copy(update={"epochs": 2.2, "accelerate_config": "fsdp2"})
    started = []
    ended = launch._end
    monkeypatch.setattr(launch, "_end", lambda process, pids: (started.extend(pids), ended(process, pids)))

    def kill(done, _total):
        if done == 28:
            raise KilledError

    with pytest.raises(KilledError):
        tune(many, base=str(tiny_model), output=tmp_path / "m", settings=settings, on_progress=kill)
    assert len(started) == 2
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{one}") for one in started) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(os.path.exists(f"/proc/{one}") for one in started)
    seen = []
    resumed = tune(
        many,
        base=str(tiny_model),
        output=tmp_path / "m",
        settings=settings,
        on_progress=lambda done, _: seen.append(done),
    )
    whole = tune(many, base=str(tiny_model), output=tmp_path / "w", settings=ONE.model_copy(update={"epochs": 2.2}))
    assert seen[0] == 25
    assert [loss for _, loss in resumed.loss] == pytest.approx([loss for _, loss in whole.loss], rel=1e-5)


@pytest.mark.real_model
def test_what_a_process_refuses_comes_back_as_its_own_error(tiny_model, tmp_path):
    settings = TWO.model_copy(update={"max_length": 8})
    with pytest.raises(PinchError, match="max_length|max-length|tokens"):
        tune([example("a"), example("b")], base=str(tiny_model), output=tmp_path / "m", settings=settings)


@pytest.mark.real_model
def test_a_run_that_breaks_shows_the_end_of_its_log(tmp_path):
    path = launch.write_job(tmp_path, [example("a")], base="b", output="o", settings=TWO)
    path.write_text("{}")
    with pytest.raises(RunError, match="ValidationError"):
        launch.launch(path, processes=2)
