"""The vLLM engine: what it asks of vLLM and makes of the answers, against a stand-in; and vLLM itself, where it is.

The real ones take minutes: pytest -m real_vllm tests/generation/test_vllm.py
"""

import importlib.util
import itertools
import json
import math
import multiprocessing
import shutil
import sys
import types
from types import SimpleNamespace

import msgspec
import pytest

from pinchtune import chat, models
from pinchtune.engine import Asked
from pinchtune.errors import CallFailure, MissingExtraError, ModelError, PinchError, RunError
from pinchtune.generation.engines import vllm as ours
from pinchtune.generation.engines.vllm import VLLMEngine
from pinchtune.records import Message, Sampling

HAS_VLLM = importlib.util.find_spec("vllm") is not None
GREEDY = Sampling(max_new_tokens=5)


def says(text):
    return (Message(role="user", content=text),)


QUESTIONS = [says(text) for text in ("Hi", "What is a pinch of salt?", "Name a colour.", "And another?")]


class SamplingParams(msgspec.Struct):
    max_tokens: int
    stop_token_ids: list[int]
    detokenize: bool
    output_kind: str
    temperature: float
    top_p: float = 1.0
    seed: int | None = None
    logprob_token_ids: list[int] | None = None


class Served:
    """As vLLM's engine: answers with the prompt's own tokens, then the stop token; the last request is done first."""

    n_seqs = 2
    longest = 200
    broken = False
    refuses_adapter = False

    def __init__(self, options):
        self.options = options
        self.waiting, self.seen, self.loras, self.aborted = {}, [], [], []
        self.vllm_config = SimpleNamespace(
            model_config=SimpleNamespace(max_model_len=options["max_model_len"] or self.longest, dtype="torch.float32"),
            scheduler_config=SimpleNamespace(max_num_seqs=self.n_seqs),
        )
        self.engine_core = SimpleNamespace(shutdown=lambda: self.aborted.append("all"))

    def add_lora(self, request):
        if self.refuses_adapter:
            raise ValueError("vLLM does not yet\nsupport DoRA.")
        self.loras.append(request)

    def add_request(self, name, prompt, params, lora_request=None):
        self.waiting[name] = prompt["prompt_token_ids"], params, lora_request
        self.seen.append((prompt["prompt_token_ids"], params, lora_request))

    def abort_request(self, names):
        self.aborted += names
        for name in names:
            self.waiting.pop(name, None)

    def step(self):
        assert self.waiting, "vLLM waits for ever where nothing is under way"
        if self.broken:
            raise RuntimeError("EngineCore encountered an issue.")
        name = next(reversed(self.waiting))
        prompt, params, _ = self.waiting.pop(name)
        ids = [*prompt[-6:-3], params.stop_token_ids[0]][: params.max_tokens]
        stopped = ids[-1] in params.stop_token_ids
        asked = params.logprob_token_ids
        # The n-th token asked for has half the probability of the one before.
        first = {token: SimpleNamespace(logprob=-(n + 1) * math.log(2)) for n, token in enumerate(asked or [])}
        output = SimpleNamespace(
            token_ids=ids,
            finish_reason="stop" if stopped else "length",
            logprobs=[first] * len(ids) if asked else None,
        )
        return [SimpleNamespace(request_id=name, outputs=[output], finished=True)]


@pytest.fixture
def served(monkeypatch):
    """Put a stand-in in the place of vLLM's package, and return the settings it serves with."""
    for name in ("VLLM_LOGGING_LEVEL", "VLLM_LOGGING_STREAM", "VLLM_NO_USAGE_STATS"):
        monkeypatch.setenv(name, "1")

    class Settings(Served):
        pass

    def open_llm(*, model, **options):
        return SimpleNamespace(llm_engine=Settings({"model": model, **options}))

    platforms = SimpleNamespace(current_platform=SimpleNamespace(is_cpu=lambda: True))
    kinds = SimpleNamespace(RequestOutputKind=SimpleNamespace(FINAL_ONLY="final"))
    request = SimpleNamespace(LoRARequest=lambda *fields: fields)
    parts = {"lora": SimpleNamespace(request=request), "platforms": platforms, "sampling_params": kinds}
    package = types.ModuleType("vllm")
    vars(package).update(LLM=open_llm, SamplingParams=SamplingParams, __version__="0", **parts)
    for name, module in {"": package, **{f".{name}": part for name, part in parts.items()}}.items():
        monkeypatch.setitem(sys.modules, f"vllm{name}", module)
    monkeypatch.setitem(sys.modules, "vllm.lora.request", request)
    return Settings


@pytest.fixture
def engine(served, tiny_model):
    opened = VLLMEngine(str(tiny_model))
    yield opened
    opened.close()


def requests(engine):
    return engine._llm.llm_engine.seen


def adapter(folder, base, **changes):
    folder.mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": str(base), "r": 12, "rank_pattern": {}}
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))
    models.load_tokenizer(str(base)).save_pretrained(folder)
    return str(folder)


def test_a_batch_comes_back_in_its_order_whatever_is_done_first(engine, tiny_tokenizer):
    chat.ensure_template(tiny_tokenizer)
    made = engine.generate(QUESTIONS, GREEDY)
    for question, answer in zip(QUESTIONS, made, strict=True):
        prompt = chat.encode_prompt(tiny_tokenizer, question)
        assert answer.text == tiny_tokenizer.decode(prompt[-6:-3], skip_special_tokens=True).strip()
        assert answer.n_prompt_tokens == len(prompt) == engine.length(question)


def test_the_stop_token_is_not_counted_and_an_answer_without_it_was_cut(engine):
    (whole,) = engine.generate(QUESTIONS[:1], GREEDY)
    (cut,) = engine.generate(QUESTIONS[:1], Sampling(max_new_tokens=2))
    assert (whole.stop_reason, whole.n_tokens) == ("stop", 3)
    assert (cut.stop_reason, cut.n_tokens) == ("length", 2)


def test_an_answer_stops_at_the_token_of_the_template_and_at_no_other(engine, tiny_tokenizer):
    engine.generate(QUESTIONS[:1], GREEDY)
    assert requests(engine)[0][1].stop_token_ids == [tiny_tokenizer.convert_tokens_to_ids("<eos>")]
    # The model's own file of settings may name more.
    assert engine._llm.llm_engine.options["generation_config"] == "vllm"


def test_greedy_has_no_seed_and_a_sampled_answer_has_one_of_its_prompt(engine):
    sampling = Sampling(max_new_tokens=5, temperature=0.7, top_p=0.9, seed=1)
    for asked in (GREEDY, sampling, sampling, msgspec.structs.replace(sampling, seed=2)):
        engine.generate(QUESTIONS[:2], asked)
    params = [one for _, one, _ in requests(engine)]
    assert (params[0].temperature, params[0].seed) == (0.0, None)
    assert (params[2].temperature, params[2].top_p) == (0.7, 0.9)
    seeds = [one.seed for one in params[2:]]
    assert seeds[:2] == seeds[2:4]
    assert len(set(seeds)) == 4


def test_a_conversation_without_room_for_an_answer_is_a_failure_and_the_others_are_answered(served, tiny_model):
    engine = VLLMEngine(str(tiny_model), max_model_len=40)
    asked = [Asked(says("word " * 100), GREEDY), Asked(QUESTIONS[0], GREEDY)]
    made = dict(zip(("long", "short"), (one for _, one in engine.stream(asked)), strict=True))
    assert isinstance(made["long"], CallFailure)
    assert "40 (max_model_len)" in made["long"].detail
    assert made["short"].text
    with pytest.raises(CallFailure, match="max_model_len"):
        engine.generate([says("word " * 100)], GREEDY)


def test_no_more_is_read_ahead_than_keeps_vllm_busy(engine):
    numbers = itertools.count()
    read = []

    def endless():
        for number in numbers:
            read.append(number)
            yield Asked(says(f"Question {number}"), GREEDY)

    results = engine.stream(endless())
    for _ in range(10):
        next(results)
    assert len(read) <= 10 + 2 * Served.n_seqs
    results.close()


def test_what_is_under_way_when_a_reader_leaves_is_taken_back(engine):
    results = engine.stream(Asked(question, GREEDY) for question in QUESTIONS)
    next(results)
    results.close()
    assert len(engine._llm.llm_engine.aborted) == 3
    assert len(engine.generate(QUESTIONS, GREEDY)) == 4


def test_two_streams_read_by_turns_each_get_their_own(engine):
    streams = [engine.stream([Asked(question, GREEDY, tag=name) for question in QUESTIONS]) for name in "ab"]
    tags = [(one[0].tag, other[0].tag) for one, other in zip(*streams, strict=True)]
    assert tags == [("a", "b")] * 4


def test_a_choice_is_as_likely_as_the_ways_to_write_it_are_together(engine, tiny_tokenizer):
    vocabulary = tiny_tokenizer.get_vocab()
    # Byte-level: "a" alone and after a space.
    assert {"a", "Ġa", "x"} <= vocabulary.keys()
    assert "Ġx" not in vocabulary
    (found,) = engine.choose(QUESTIONS[:1], ("a", "x"))
    assert found == pytest.approx({"a": math.log(1 / 2 + 1 / 4), "x": math.log(1 / 8)})
    assert requests(engine)[0][1].logprob_token_ids == [vocabulary[name] for name in ("a", "Ġa", "x")]


def test_a_question_with_choices_gets_the_likelier_one(engine):
    (one,) = engine.stream([Asked(QUESTIONS[0], Sampling(max_new_tokens=1), choices=("x", "a"))])
    assert one[1].text == "x"
    assert one[1].logprobs["x"] == pytest.approx(math.log(1 / 2))


def test_a_reply_that_begins_with_no_choice_has_no_probabilities_of_them(engine):
    (one,) = engine.stream([Asked(QUESTIONS[0], GREEDY, choices=("x", "a"))])
    assert not one[1].text.startswith(("x", "a"))
    assert one[1].logprobs is None


def test_choices_that_begin_with_the_same_token_are_refused(engine):
    with pytest.raises(PinchError, match="tokens of their own"):
        engine.choose(QUESTIONS[:1], ("x", "xx!"))


def test_a_broken_vllm_is_a_failed_run_that_says_what_to_do(served, engine):
    served.broken = True
    with pytest.raises(RunError, match="vLLM stopped working: EngineCore encountered") as caught:
        engine.generate(QUESTIONS, GREEDY)
    assert "gpu_memory_utilization" in caught.value.hint


@pytest.mark.parametrize(("changes", "room"), [({}, 16), ({"r": 8}, 8), ({"rank_pattern": {"q_proj": 200}}, 256)])
def test_an_adapter_is_served_on_its_base_in_the_smallest_room(served, tiny_model, tmp_path, changes, room):
    folder = adapter(tmp_path / "tuned", tiny_model, **changes)
    engine = VLLMEngine(folder)
    engine.generate(QUESTIONS[:1], GREEDY)
    options = engine._llm.llm_engine.options
    assert (options["model"], options["enable_lora"], options["max_lora_rank"]) == (str(tiny_model), True, room)
    assert requests(engine)[0][2] == ("tuned-1", 1, folder)


def test_without_an_adapter_vllm_makes_no_room_for_one(engine):
    assert "enable_lora" not in engine._llm.llm_engine.options


def test_another_adapter_of_the_base_is_served_without_loading_the_base_again(served, tiny_model, tmp_path):
    first, second = (adapter(tmp_path / name, tiny_model) for name in ("first", "second"))
    engine = VLLMEngine(first)
    inner = engine._llm.llm_engine
    for folder in (first, second, first):
        assert engine.swap(folder)
        engine.generate(QUESTIONS[:1], GREEDY)
        assert requests(engine)[-1][2][2] == folder
    assert engine._llm.llm_engine is inner
    assert inner.aborted == []
    # vLLM keeps what it has computed of a prompt by the adapter's name, and the adapter itself by its number.
    assert len({name for name, _, _ in inner.loras}) == len({number for _, number, _ in inner.loras}) == 4


def test_what_there_is_no_room_for_is_not_taken_up(served, tiny_model, tmp_path):
    small, large = adapter(tmp_path / "small", tiny_model), adapter(tmp_path / "large", tiny_model, r=17)
    other = adapter(tmp_path / "other", shutil.copytree(tiny_model, tmp_path / "base"))
    bare, engine = VLLMEngine(str(tiny_model)), VLLMEngine(small)
    assert not bare.swap(small)
    assert [engine.swap(one) for one in (large, other, str(tiny_model))] == [False] * 3
    engine.generate(QUESTIONS[:1], GREEDY)
    assert requests(engine)[0][2] == ("tuned-1", 1, small)


def test_the_template_and_its_stop_token_are_those_of_the_adapter_taken_up(served, tiny_model, tmp_path):
    first, second = (adapter(tmp_path / name, tiny_model) for name in ("first", "second"))
    tokenizer = models.load_tokenizer(second)
    tokenizer.chat_template = "{% for message in messages %}Q: {{ message['content'] }}<end_of_turn>{% endfor %}"
    tokenizer.save_pretrained(second)
    engine, opened = VLLMEngine(first), VLLMEngine(second)
    assert engine.length(QUESTIONS[0]) != opened.length(QUESTIONS[0])
    assert engine.swap(second)
    engine.generate(QUESTIONS, GREEDY)
    opened.generate(QUESTIONS, GREEDY)
    assert [one[:2] for one in requests(engine)] == [one[:2] for one in requests(opened)]


@pytest.mark.parametrize(
    ("changes", "why"), [({"peft_type": "IA3"}, "IA3"), ({"r": 1024}, "1024"), ({"use_dora": True}, "support DoRA")]
)
def test_an_adapter_that_vllm_cannot_run_is_refused(served, tiny_model, tmp_path, changes, why):
    served.refuses_adapter = "use_dora" in changes
    with pytest.raises(ModelError, match=why) as caught:
        VLLMEngine(adapter(tmp_path / "tuned", tiny_model, **changes))
    assert "--engine transformers" in caught.value.hint


def test_a_model_that_vllm_refuses_is_an_error_of_the_model_and_no_start_one_of_the_run(
    served, tiny_model, monkeypatch
):
    for fault, kind in ((ValueError("no such\narchitecture"), ModelError), (RuntimeError("no memory"), RunError)):

        def refuse(fault=fault, **_):
            raise fault

        monkeypatch.setattr(sys.modules["vllm"], "LLM", refuse)
        with pytest.raises(kind, match=r"no such architecture|no memory"):
            VLLMEngine(str(tiny_model))


def test_a_vllm_before_probabilities_of_chosen_tokens_is_too_old(served, tiny_model, monkeypatch):
    monkeypatch.setattr(sys.modules["vllm"], "SamplingParams", SimpleNamespace(__struct_fields__=("seed",)))
    with pytest.raises(PinchError, match="too old"):
        VLLMEngine(str(tiny_model))


def test_settings_reach_vllm_and_a_cpu_computes_in_float32_with_memory_left_to_others(served, tiny_model):
    plain = VLLMEngine(str(tiny_model))._llm.llm_engine.options
    assert (plain["dtype"], plain["gpu_memory_utilization"]) == ("float32", 0.4)
    served_as = VLLMEngine(str(tiny_model), gpu_memory_utilization=0.6, max_model_len=64, dtype="bfloat16")
    told = served_as._llm.llm_engine.options
    assert (told["gpu_memory_utilization"], told["max_model_len"], told["dtype"]) == (0.6, 64, "bfloat16")
    assert plain["max_model_len"] is None
    assert served_as.name == "vllm-float32"  # what vLLM says that it computes in


def test_on_a_gpu_vllm_chooses_memory_and_numbers_itself(served, tiny_model, monkeypatch):
    monkeypatch.setattr(sys.modules["vllm"].platforms.current_platform, "is_cpu", lambda: False)
    options = VLLMEngine(str(tiny_model))._llm.llm_engine.options
    assert options["dtype"] == "auto"
    assert not {"gpu_memory_utilization", "enforce_eager"} & options.keys()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gpu_memory_utilization": 1.5}, "gpu_memory_utilization is 1.5"),
        ({"max_model_len": 0}, "max_model_len is 0"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size is 0"),
        ({"dtype": "bf16"}, "Did you mean bfloat16"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_before_anything_is_loaded(settings, said):
    with pytest.raises(PinchError, match=said):
        VLLMEngine("no-such-model", **settings)


@pytest.mark.skipif(HAS_VLLM, reason="vLLM is installed")
def test_without_vllm_the_extra_is_named():
    with pytest.raises(MissingExtraError, match=r"pip install 'pinchtune\[vllm\]'"):
        VLLMEngine("gemma3-270m")


def test_closing_ends_vllm_once(engine):
    inner = engine._llm.llm_engine
    engine.close()
    engine.close()
    assert inner.aborted == ["all"]


def test_a_sum_of_probabilities_survives_those_of_zero():
    assert ours._sum([-math.inf, -math.inf]) == -math.inf
    assert ours._sum([-math.inf, math.log(0.25), math.log(0.5)]) == pytest.approx(math.log(0.75))


# ------------------------------------------------------------------------------------------------ vLLM itself

real = [
    pytest.mark.real_vllm,
    pytest.mark.real_model,
    pytest.mark.skipif(not HAS_VLLM, reason="vLLM is not installed"),
]


def compare(model, n_tokens):
    """Return both engines' answers to the same prompts, the transformers engine's first."""
    from pinchtune.engine import open_engine
    from pinchtune.sources import pack

    prompts = [prompt.messages for prompt in pack.prompts(["en", "fi", "ar"], limit=3)]
    reference = open_engine("transformers", model)
    expected = reference.generate(prompts, Sampling(max_new_tokens=n_tokens))
    logprobs = [next_token(reference, prompt) for prompt in prompts]
    reference.close()
    engine = VLLMEngine(model, max_model_len=512)
    made = engine.generate(prompts, Sampling(max_new_tokens=n_tokens))
    chosen = engine.choose(prompts, ("A", "B"))
    sampling = Sampling(max_new_tokens=12, temperature=1.0, seed=3)
    sampled = engine.generate(prompts, sampling), [engine.generate([one], sampling)[0] for one in prompts[::-1]][::-1]
    engine.close()
    return expected, made, logprobs, chosen, sampled


def next_token(engine, messages):
    import torch

    ids = chat.encode_prompt(engine._tokenizer, messages)
    vocabulary = engine._tokenizer.get_vocab()
    with torch.inference_mode():
        found = engine._model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    return {word: found[[vocabulary[word], vocabulary["▁" + word]]].logsumexp(-1).item() for word in "AB"}


def check(expected, made, logprobs, chosen, sampled):
    def told(answers):
        return [(one.text, one.stop_reason, one.n_tokens) for one in answers]

    # In float32 rounding may still tip one of nine.
    assert sum(one == other for one, other in zip(told(expected), told(made), strict=True)) >= 8
    for one, other in zip(logprobs, chosen, strict=True):
        assert other == pytest.approx(one, abs=1e-3)
    assert told(sampled[0]) == told(sampled[1])
    assert multiprocessing.active_children() == []


class TestReal:
    pytestmark = real

    # vLLM's and its libraries' own warnings are no faults of ours.
    @pytest.mark.filterwarnings("default")
    def test_it_answers_as_transformers_does(self):
        check(*compare(models.EMBEDDED, 40))

    @pytest.mark.filterwarnings("default")
    def test_it_serves_an_adapter_as_transformers_does(self, tmp_path):
        from pinchtune.sources import pack
        from pinchtune.tuning.settings import TuningSettings
        from pinchtune.tuning.train import tune

        settings = TuningSettings(epochs=1, softmax="sampled", learning_rate=2e-3, warmup_ratio=0, schedule="constant")
        examples = list(pack.examples(["en", "fi"], max_words=30))[:8]
        tune(examples, base=models.EMBEDDED, output=tmp_path / "tuned", settings=settings)
        found = compare(str(tmp_path / "tuned"), 60)
        check(*found)
        assert {one.stop_reason for one in found[1]} == {"stop"}
