import pytest
import torch

from pinchtune.errors import ModelError, TrainingDataError
from pinchtune.tuning.proof import prove, prove_stop_token
from pinchtune.tuning.settings import TuningSettings
from tests.conftest import example


def test_a_response_that_would_be_cut_is_an_error_that_names_the_example(tiny_model):
    long = example("too-long", assistant="word " * 300)
    with pytest.raises(TrainingDataError, match=r"1 of 2 examples .*'too-long' in en"):
        prove([example("a"), long], base=str(tiny_model), settings=TuningSettings(max_length=64))


def test_or_is_left_out_and_counted(tiny_model):
    long = example("too-long", assistant="word " * 300)
    settings = TuningSettings(max_length=64, overlong="drop")
    found = prove([example("a"), long], base=str(tiny_model), settings=settings)
    assert (found["n_examples"], found["n_dropped"], found["stop_token"]) == (1, 1, "<eos>")


def test_no_example_is_an_error(tiny_model):
    with pytest.raises(TrainingDataError, match="no example"):
        prove([], base=str(tiny_model), settings=TuningSettings())


def test_a_stop_token_that_was_never_trained_is_refused(tiny_tokenizer):
    weight = torch.randn(len(tiny_tokenizer), 16, generator=torch.Generator().manual_seed(0))
    prove_stop_token(weight, tiny_tokenizer, "<eos>")
    stop = tiny_tokenizer.eos_token_id
    weight[100:150] = weight[stop] + 0.01 * weight[100:150]
    with pytest.raises(ModelError, match="<eos> is untrained in this base model: 50 other tokens"):
        prove_stop_token(weight, tiny_tokenizer, "<eos>")
