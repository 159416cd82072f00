"""Tiny translation models in the layouts that the real ones have on the Hub, taught a few sentences by heart.

They are taught through the tokenizers' own ways of naming languages, so that an engine that names them otherwise does
not get the sentences out again. One English sentence has a Finnish and a Spanish translation.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

from pinchtune.translation.engines import loading

ENGLISH = (
    "Yes.",
    "Good morning!",
    "Where is the station?",
    "See [[0]] first.",
    "The cat sleeps on the chair.",
    "I read 3 books this week.",
)
TRANSLATIONS = {
    "fi": (
        "Kyllä.",
        "Hyvää huomenta!",
        "Missä asema on?",
        "Katso ensin [[0]].",
        "Kissa nukkuu tuolilla.",
        "Luin 3 kirjaa tällä viikolla.",
    ),
    "es": (
        "Sí.",
        "¡Buenos días!",
        "¿Dónde está la estación?",
        "Mira [[0]] primero.",
        "El gato duerme en la silla.",
        "Leí 3 libros esta semana.",
    ),
}
_TEXTS = [*ENGLISH, *TRANSLATIONS["fi"], *TRANSLATIONS["es"], "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
_SIZES = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "scale_embedding": True,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
}


def _teach(model, batches, *, enough=0.03, zero_row=None):
    """Train until every sentence is known; a row of the embeddings may have to stay zero."""
    import torch

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, betas=(0.9, 0.98))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are too small to be shared out
    model.train()
    for _ in range(1000):
        loss = sum(model(**batch).loss for batch in batches)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if zero_row is not None:
            with torch.no_grad():
                model.get_input_embeddings().weight[zero_row] = 0.0
        if float(loss.detach()) < enough:
            break
    else:
        raise AssertionError("the tiny model did not learn its sentences")
    model.eval()
    torch.set_num_threads(threads)


def _batch(tokenizer, sources, targets):
    batch = tokenizer(list(sources), text_target=list(targets), padding=True, return_tensors="pt")
    batch["labels"][batch["labels"] == tokenizer.pad_token_id] = -100
    return batch


def _sentencepiece(**options):
    import sentencepiece

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_TEXTS),
        model_writer=made,
        vocab_size=120,
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
        **options,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())
    return made.getvalue(), [processor.id_to_piece(number) for number in range(processor.get_piece_size())]


def nllb(folder: Path) -> Path:
    """As facebook/nllb-200-distilled-600M: an M2M100 with tied embeddings, and BPE with all FLORES codes."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    bpe.train_from_iterator(_TEXTS, trainers.BpeTrainer(vocab_size=150, special_tokens=specials, show_progress=False))
    model = json.loads(bpe.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer = transformers.NllbTokenizer(vocab=model["vocab"], merges=merges)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    # The real ones too have more rows than the tokenizer has tokens.
    network = transformers.M2M100ForConditionalGeneration(
        transformers.M2M100Config(vocab_size=len(tokenizer) + 3, **_SIZES)
    )
    tokenizer.src_lang = "eng_Latn"
    batches = []
    for tag, code in (("fi", "fin_Latn"), ("es", "spa_Latn")):
        tokenizer.tgt_lang = code
        batch = _batch(tokenizer, ENGLISH, TRANSLATIONS[tag])
        # The language is given, not learnt: nothing in the source tells it.
        before = batch["labels"].roll(1, dims=1)
        batch["decoder_input_ids"] = before.masked_fill(before < 0, tokenizer.pad_token_id)
        batch["decoder_input_ids"][:, 0] = tokenizer.eos_token_id
        batch["labels"][:, 0] = -100
        batches.append(batch)
    _teach(network, batches)
    network.generation_config.max_length = 200
    network.save_pretrained(folder)
    return folder


def madlad(folder: Path) -> Path:
    """As google/madlad400-3b-mt: a T5 1.1, not tied; the checkpoint has no `shared`, unknown is 0 and the end is 2."""
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    folder.mkdir(parents=True)
    tokens = [f"<2{code}>" for code in ("en", "fi", "es", "zh", "iw", "no")]
    model, pieces = _sentencepiece(unk_id=0, bos_id=1, eos_id=2, pad_id=-1, user_defined_symbols=tokens)
    (folder / "spiece.model").write_bytes(model)
    special = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    settings = {
        "added_tokens_decoder": {str(n): {"content": text, **special} for n, text in enumerate(pieces[:3])},
        "additional_special_tokens": [],
        "eos_token": "</s>",
        "extra_ids": 0,
        "legacy": False,
        "pad_token": "<s>",
        "tokenizer_class": "T5Tokenizer",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    config = transformers.T5Config(
        vocab_size=len(pieces),
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=1,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        decoder_start_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    network = transformers.T5ForConditionalGeneration(config)
    network.lm_head.weight = torch.nn.Parameter(torch.randn(len(pieces), 32) / 8)
    config.save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batches = [
        _batch(tokenizer, [f"<2{tag}> {text}" for text in ENGLISH], translated)
        for tag, translated in TRANSLATIONS.items()
    ]
    _teach(network, batches, enough=0.01)
    network.save_pretrained(folder)
    # As in Google's checkpoint: no `shared`, but the decoder's embeddings and an output layer of its own.
    weights = load_file(folder / "model.safetensors")
    weights["decoder.embed_tokens.weight"] = weights.pop("shared.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    written = json.loads((folder / "config.json").read_text())
    written.pop("scale_decoder_outputs", None)
    (folder / "config.json").write_text(json.dumps({**written, "tie_word_embeddings": False}))
    return folder


def marian(folder: Path, languages: dict[str, str] | None = None) -> Path:
    """As Helsinki-NLP/opus-mt-en-fi, or with `languages` (tag to token) as opus-mt-en-mul, a model of several."""
    import torch
    import transformers

    folder.mkdir(parents=True)
    vocabulary = {"</s>": 0, "<unk>": 1}
    for side in ("source", "target"):
        model, pieces = _sentencepiece(unk_id=1, bos_id=-1, eos_id=0, pad_id=-1)
        (folder / f"{side}.spm").write_bytes(model)
        for piece in pieces:
            vocabulary.setdefault(piece, len(vocabulary))
    for token in (*(languages or {}).values(), "<pad>"):
        vocabulary[token] = len(vocabulary)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "MarianTokenizer"}))
    pad = vocabulary["<pad>"]
    config = transformers.MarianConfig(
        vocab_size=len(vocabulary),
        activation_function="swish",
        bos_token_id=0,
        eos_token_id=0,
        forced_eos_token_id=0,
        pad_token_id=pad,
        decoder_start_token_id=pad,
        **_SIZES,
    )
    torch.manual_seed(0)
    network = transformers.MarianMTModel(config)
    network.generation_config.update(
        bad_words_ids=[[pad]], decoder_start_token_id=pad, forced_eos_token_id=0, max_length=512, num_beams=4
    )
    config.save_pretrained(folder)
    tokenizer = loading.load_tokenizer(str(folder), {})
    taught = {tag: f"{token} " for tag, token in languages.items()} if languages else {"fi": ""}
    batches = [
        _batch(tokenizer, [token + text for text in ENGLISH], TRANSLATIONS[tag])
        for tag, token in taught.items()
        if tag in TRANSLATIONS
    ]
    _teach(network, batches, zero_row=pad)  # real ones start from zeros too
    network.save_pretrained(folder)
    return folder
