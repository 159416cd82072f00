import pydantic
import pytest

from pinchtune.tuning.settings import TRACKERS, TuningSettings

#: What was dumped, and so keyed, before settings came that most runs leave alone.
FIRST = {
    "method",
    "rank",
    "alpha",
    "dropout",
    "learning_rate",
    "schedule",
    "warmup_ratio",
    "weight_decay",
    "epochs",
    "batch_size",
    "gradient_accumulation",
    "max_length",
    "overlong",
    "chat_template",
    "softmax",
    "dtype",
    "report_to",
}


class Holder(pydantic.BaseModel):
    tuning: TuningSettings = TuningSettings()


def test_later_settings_change_no_key_while_they_are_left_alone():
    assert set(TuningSettings().model_dump(mode="json")) == FIRST
    assert set(Holder().model_dump(mode="json")["tuning"]) == FIRST
    assert set(TuningSettings(processes=1, quantization="none").model_dump()) == FIRST


def test_later_settings_that_are_given_are_dumped_and_read_again():
    given = TuningSettings(processes=2, accelerate_config="fsdp2", quantization="4bit")
    dumped = given.model_dump(mode="json")
    assert set(dumped) - FIRST == {"processes", "accelerate_config", "quantization"}
    assert TuningSettings(**dumped) == given
    kernels = {"attention": "sdpa", "padding_free": False, "liger": True}
    assert TuningSettings(**kernels).model_dump().items() >= kernels.items()


def test_the_schema_names_every_setting():
    assert set(TuningSettings.model_json_schema()["properties"]) == set(TuningSettings.model_fields)


def test_a_misspelt_tracker_is_refused_with_the_nearest_one():
    with pytest.raises(pydantic.ValidationError, match="Did you mean tensorboard"):
        TuningSettings(report_to=("tensorbord",))


def test_the_trackers_are_those_of_transformers():
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    assert set(TRACKERS) == set(INTEGRATION_TO_CALLBACK)
