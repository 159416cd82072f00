import importlib.util

import pytest
import torch

from pinchtune import chat
from pinchtune.errors import MissingExtraError, ModelError, PinchError
from pinchtune.models import load_model, load_tokenizer, resolve
from pinchtune.sources import pack
from pinchtune.tuning import kernels, train
from pinchtune.tuning.batches import Collator, collate, lay_end_to_end
from pinchtune.tuning.proof import encode_all
from pinchtune.tuning.settings import TuningSettings
from pinchtune.tuning.train import tune

SETTINGS = TuningSettings(epochs=1, batch_size=4, learning_rate=5e-3)
needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def having(**settings):
    return SETTINGS.model_copy(update=settings)


@pytest.fixture(scope="module")
def examples():
    return list(pack.examples(["en", "fi"], max_words=40))[:10]


@pytest.fixture(scope="module")
def batch(tiny_model, examples):
    """Rows of unlike lengths, the first with nothing to train and one token."""
    tokenizer = load_tokenizer(str(tiny_model))
    chat.ensure_template(tokenizer, None)
    encoded, _ = encode_all(tokenizer, examples[:5], SETTINGS)
    rows = [{"input_ids": one.input_ids, "labels": one.labels} for one in encoded]
    assert len({len(row["input_ids"]) for row in rows}) == 5
    return [{"input_ids": [0], "labels": [-100]}, *rows]


@pytest.fixture
def lora(tiny_model):
    """Return a function that makes the tiny model with adapters that are not at zero, and our loss."""

    def make(attention="sdpa"):
        tokenizer = load_tokenizer(str(tiny_model))
        stop = chat.ensure_template(tokenizer, None)
        model = train._prepare_model(
            resolve(str(tiny_model)),
            having(attention=attention),
            tokenizer,
            stop,
            None,
            0,
            "float32",
            "cpu",
        )
        torch.manual_seed(1)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
        return model

    return make


def loss_and_gradients(model, inputs):
    model.zero_grad()
    loss = model(**inputs, num_items_in_batch=torch.tensor(100)).loss
    loss.backward()
    return loss.detach(), {name: one.grad.clone() for name, one in model.named_parameters() if one.requires_grad}


# ---------------------------------------------------------------------------------------- batches without padding


def test_rows_lie_end_to_end_with_positions_that_begin_again():
    rows = [{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}, {"input_ids": [8, 9], "labels": [8, 9]}]
    batch = lay_end_to_end(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    # No first token is foretold from the conversation before, even where it had a label.
    assert batch["labels"].tolist() == [[-100, 6, 7, -100, 9]]
    assert "attention_mask" not in batch


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_loss_and_gradients_without_padding_are_those_with_it(attention, lora, batch):
    model = lora(attention)
    expected, expected_gradients = loss_and_gradients(model, collate(batch, pad_id=0))
    found, gradients = loss_and_gradients(model, lay_end_to_end(batch))
    assert len(gradients) == 2 * 7 * 2
    assert min(float(one.abs().max()) for one in gradients.values()) > 1e-4
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=1e-5, atol=1e-5, msg=name)


def test_positions_that_run_on_are_seen_in_loss_and_gradients(lora, batch):
    model = lora()
    expected, expected_gradients = loss_and_gradients(model, collate(batch, pad_id=0))
    leaking = lay_end_to_end(batch)
    leaking["position_ids"] = torch.arange(leaking["input_ids"].shape[1])[None]
    found, gradients = loss_and_gradients(model, leaking)
    assert abs(float(found - expected)) > 1e-4
    assert max(float((one - expected_gradients[name]).abs().max()) for name, one in gradients.items()) > 1e-3


@pytest.mark.filterwarnings("ignore")  # torch's own: of its compiler that is not used, and of how it is called
def test_flex_attention_gives_the_loss_that_padding_gives(lora, batch):
    # The loss alone: "FlexAttention does not support backward on CPU". Uncompiled, or a test would be a minute.
    model = lora()
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        expected = model(**collate(batch, pad_id=0)).loss
        model.get_base_model().set_attn_implementation("flex_attention")
        torch.testing.assert_close(model(**lay_end_to_end(batch)).loss, expected, rtol=1e-5, atol=1e-5)
        leaking = lay_end_to_end(batch)
        del leaking["position_ids"]
        assert abs(float(model(**leaking).loss - expected)) > 1e-4


def test_a_run_without_padding_trains_as_one_with_it(tiny_model, examples, tmp_path):
    # All weights: of adapters that begin at zero AdamW makes much of the last digit.
    padded = tune(
        examples, base=str(tiny_model), output=tmp_path / "p", settings=having(method="full", padding_free=False)
    )
    notes = []
    settings = having(method="full", padding_free=True)
    free = tune(examples, base=str(tiny_model), output=tmp_path / "f", settings=settings, on_note=notes.append)
    assert [loss for _, loss in free.loss] == pytest.approx([loss for _, loss in padded.loss], rel=1e-5)
    assert notes == ["Tuning with batches without padding."]


# ---------------------------------------------------------------------------------------- the wall


def tiny(kind, **config):
    import transformers

    torch.manual_seed(0)
    made = transformers.AutoConfig.for_model(kind, vocab_size=64, **config)
    return transformers.AutoModelForCausalLM.from_config(made).eval()


LLAMA = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
OPT = {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "word_embed_proj_dim": 32}
TRIED = list(range(3, 20))


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("llama", LLAMA),
        ("qwen3", LLAMA | {"head_dim": 16, "num_key_value_heads": 2}),
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 2}),
    ],
)
def test_models_whose_mask_follows_the_positions_keep_conversations_apart(kind, config):
    assert kernels.keeps_apart(tiny(kind, **config), TRIED, device="cpu")


@pytest.mark.parametrize(
    ("kind", "config"),
    [("opt", OPT), ("mamba", {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2})],
)
@pytest.mark.filterwarnings("ignore")  # of kernels for mamba that are not installed
def test_a_mask_without_positions_and_a_state_that_runs_on_are_found_to_leak(kind, config):
    assert not kernels.keeps_apart(tiny(kind, **config), TRIED, device="cpu")


@pytest.fixture(scope="module")
def leaky_model(tiny_model, tmp_path_factory):
    """An OPT with the tiny model's tokenizer."""
    folder = tmp_path_factory.mktemp("leaky") / "opt"
    tokenizer = load_tokenizer(str(tiny_model))
    config = OPT | {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    model = tiny("opt", **config)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_that_leaks_is_refused_where_padding_free_is_asked_for(leaky_model, examples, tmp_path):
    with pytest.raises(ModelError, match="from one conversation of a row to the next"):
        tune(examples, base=str(leaky_model), output=tmp_path / "m", settings=having(padding_free=True))


def test_auto_pads_for_a_model_that_leaks_and_says_so(leaky_model, examples, tmp_path, monkeypatch):
    padded = tune(examples, base=str(leaky_model), output=tmp_path / "p", settings=SETTINGS)
    # As auto answers on a GPU.
    monkeypatch.setattr(kernels, "wants_padding_free", lambda *_: True)
    notes = []
    found = tune(examples, base=str(leaky_model), output=tmp_path / "m", settings=SETTINGS, on_note=notes.append)
    assert notes[-1].endswith("so batches are padded.")
    assert found.loss == padded.loss


# ---------------------------------------------------------------------------------------- what cannot run here


@needs_no_gpu
def test_auto_changes_nothing_on_a_cpu(lora):
    model = lora("auto")
    assert model.config._attn_implementation == "sdpa"
    assert not kernels.wants_padding_free(SETTINGS, model)
    assert kernels.liger_arguments(SETTINGS) == {}
    kernels.refuse_what_cannot_work(SETTINGS, "float32")


@needs_no_gpu
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"attention": "flash_attention_2"}, "flash_attention_2 cannot be used here: it needs a GPU"),
        ({"attention": "flex_attention"}, "flex_attention trains on a GPU alone"),
        ({"liger": True}, "liger: true needs a GPU"),
    ],
)
def test_what_needs_a_gpu_is_refused_before_the_model_is_looked_for(settings, says, examples, tmp_path):
    with pytest.raises(PinchError, match=says):
        tune(examples, base="no/such-model", output=tmp_path / "m", settings=having(**settings))


def test_on_a_gpu_what_is_not_installed_is_said_with_what_to_type(monkeypatch):
    monkeypatch.setattr(kernels, "_has_gpu", lambda: True)
    if importlib.util.find_spec("liger_kernel") is None:
        assert kernels.liger_arguments(SETTINGS) == {}
        with pytest.raises(MissingExtraError, match=r"pinchtune\[liger\]"):
            kernels.refuse_what_cannot_work(having(liger=True), "bfloat16")
    if importlib.util.find_spec("flash_attn") is None:
        with pytest.raises(PinchError, match="pip install flash-attn --no-build-isolation"):
            kernels.refuse_what_cannot_work(having(attention="flash_attention_2"), "bfloat16")
    kernels.refuse_what_cannot_work(having(attention="flex_attention"), "float32")


def test_on_a_gpu_auto_takes_ligers_kernels_but_not_its_loss(monkeypatch):
    import transformers

    monkeypatch.setattr(kernels, "_has_gpu", lambda: True)
    monkeypatch.setattr(kernels, "_has_liger", lambda: True)
    given = kernels.liger_arguments(SETTINGS)
    assert given["use_liger_kernel"]
    assert not any(given["liger_kernel_config"].values())
    assert given.keys() <= transformers.TrainingArguments.__dataclass_fields__.keys()
    assert kernels.liger_arguments(having(liger=False)) == {}


@pytest.mark.parametrize(
    ("attention", "free"), [("flash_attention_2", True), ("flex_attention", True), ("sdpa", False)]
)
def test_on_a_gpu_auto_drops_padding_where_attention_skips_what_is_walled_off(attention, free, lora, monkeypatch):
    monkeypatch.setattr(kernels, "_has_gpu", lambda: True)
    model = lora()
    model.config._attn_implementation_internal = attention
    assert kernels.wants_padding_free(SETTINGS, model) is free
    assert kernels.wants_padding_free(having(padding_free=not free), model) is not free


def test_an_attention_that_the_models_code_has_not_is_refused():
    model = tiny("mamba", hidden_size=32, state_size=8, num_hidden_layers=2)
    with pytest.raises(ModelError, match="MambaForCausalLM cannot compute its attention by sdpa"):
        kernels.set_attention(model, having(attention="sdpa"), "float32")


def test_the_chosen_attention_is_no_part_of_the_saved_model(tiny_model, tmp_path):
    model = load_model(resolve(str(tiny_model)))
    kernels.set_attention(model, having(attention="eager"), "float32")
    assert model.config._attn_implementation == "eager"
    model.save_pretrained(tmp_path)
    assert "eager" not in (tmp_path / "config.json").read_text()


def test_a_sentence_says_what_is_not_as_transformers_has_it(lora):
    import types

    model = lora()
    args = types.SimpleNamespace(use_liger_kernel=False)
    assert kernels.describe(model, Collator(0), args) == ""
    model.config._attn_implementation_internal = "flash_attention_2"
    args.use_liger_kernel = True
    said = kernels.describe(model, Collator(0, padding_free=True), args)
    assert said.startswith("Tuning with attention by flash_attention_2, batches without padding, Liger's kernels")


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_all_weights_are_tuned_in_float32_on_a_cpu_whatever_it_computes_in(dtype):
    if torch.cuda.is_available():
        pytest.skip("on a GPU")
    assert kernels.number_type(TuningSettings(method="full", dtype=dtype)) == "float32"
