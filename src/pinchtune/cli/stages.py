"""`pinch mix`, `tune` and `generate`: one stage each, on plain files, with the same options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pinchtune.cli import options
from pinchtune.cli.console import Console, quiet_libraries, table
from pinchtune.cli.options import finish, settings, tags
from pinchtune.errors import PinchError


def register(app: typer.Typer) -> None:
    """Add the commands of single stages to the app."""
    for command in (mix, tune, generate):
        app.command()(command)


def _numbers(text: str, kind: type) -> dict[str, Any]:
    """Return {"en": 90, "es": 10} for "en=90,es=10"."""
    found = {}
    for part in text.split(","):
        tag, equals, number = part.partition("=")
        if not equals:
            raise PinchError(f"{part!r} is not a language and a number.", hint="Write en=90,es=10.")
        try:
            named = tags(tag)[0]
            if named in found:
                raise PinchError(f"{named} is given twice in {text!r}.", hint="Name each language once.")
            found[named] = kind(number)
        except (ValueError, IndexError):
            raise PinchError(f"{part!r} is not a language and a number.", hint="Write en=90,es=10.") from None
    return found


def mix(
    sources: Annotated[list[str], typer.Argument(help="pack, or files of examples in any of the field's shapes.")],
    output: options.Output,
    design: Annotated[str, typer.Option(help="monolingual, pinch, uniform or custom.")] = "pinch",
    n_examples: Annotated[int | None, typer.Option(min=1, help="Size of the mixture.")] = None,
    base: Annotated[str, typer.Option(help="monolingual: the language. pinch: language of the rest.")] = "en",
    languages: Annotated[str, typer.Option(help="pinch, uniform: the languages, as tags with commas.")] = "",
    pinch_examples: Annotated[int | None, typer.Option(min=0, help="Size of the pinch, as a count.")] = None,
    pinch_percent: Annotated[float | None, typer.Option(min=0, max=100, help="Or in percent.")] = None,
    counts: Annotated[str, typer.Option(help="custom: en=90,es=10.")] = "",
    shares: Annotated[str, typer.Option(help="custom: en=0.9,es=0.1, of --n-examples.")] = "",
    export: Annotated[
        list[str] | None, typer.Option(help="Also for axolotl, llamafactory, trl or openai; may be repeated.")
    ] = None,
    export_model: Annotated[str | None, typer.Option(help="--export: the model to tune there.")] = None,
    export_template: Annotated[
        str | None, typer.Option(help="--export: plain, chatml, gemma or a Jinja file [default: the model's own].")
    ] = None,
    export_stop_token: Annotated[str | None, typer.Option(help="--export: what ends a response there.")] = None,
    language: options.Language = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw a training set: English with a pinch of other languages, or another design.

    \b
    Examples:
        pinch mix pack --languages ar,fi,it --n-examples 100 --pinch-examples 24 --output mixtures/pinch
        pinch mix english.jsonl spanish.jsonl --languages es --n-examples 1000 --pinch-percent 5 -o mixtures/es5
        pinch mix pack --languages fi --n-examples 100 --pinch-examples 9 --export trl --export-model NAME -o mix/fi
    """
    from pinchtune.errors import did_you_mean
    from pinchtune.mixtures.designs import DESIGNS
    from pinchtune.mixtures.export import TOOLS
    from pinchtune.study import single

    for tool in export or []:
        if tool not in TOOLS:
            raise PinchError(f"There is no export for {tool!r}.", hint=did_you_mean(tool, TOOLS))
        if export_model is None:
            raise PinchError("An export says which model is to be tuned.", hint="--export-model organisation/name")
    if design not in DESIGNS:
        raise PinchError(f"There is no design {design!r}.", hint=did_you_mean(design, DESIGNS))
    if n_examples is None and not counts:
        raise PinchError("How large is the mixture to be?", hint="Give --n-examples (or --counts en=90,es=10).")
    if design in ("pinch", "uniform") and not languages:
        raise PinchError(f"The design {design} needs languages.", hint="--languages ar,fi,it")
    by_design: dict[str, dict[str, Any]] = {
        "monolingual": {"language": base, "n_examples": n_examples},
        "pinch": {
            "base": base,
            "languages": tags(languages),
            "n_examples": n_examples,
            "pinch_examples": pinch_examples,
            "pinch_percent": pinch_percent,
        },
        "uniform": {"languages": tags(languages), "n_examples": n_examples},
        "custom": {
            "counts": _numbers(counts, int) if counts else None,
            "shares": _numbers(shares, float) if shares else None,
            "n_examples": n_examples,
        },
    }
    console = Console(quiet=quiet, as_json=as_json)
    chosen = {"seed": seed, **by_design[design]}
    kept = single.mix(sources, Path(output), design=design, options=chosen, language=language, overwrite=overwrite)
    notes = kept.manifest.notes
    lines = [table(["language", "examples"], list(notes["counts"].items()))]
    for source in notes.get("sources", []):
        lines.append(f"{source['name']}: licence {source['licence'] or 'not stated'}, revision {source['revision']}")
    for tool in export or []:
        files = single.export_mixture(
            Path(output),
            tool,
            base_model=export_model,
            seed=seed,
            chat_template=export_template,
            stop_token=export_stop_token,
        )
        lines.append(f"For {tool}: {files[-1].parent} (README.md there says what to type)")
    if notes.get("n_duplicates"):
        lines.append(f"{notes['n_duplicates']} duplicates were left out.")
    finish(console, kept, lines)


def tune(
    examples: Annotated[str, typer.Argument(help="A folder of `pinch mix`, pack, or a file of examples.")],
    output: options.Output,
    base: Annotated[str, typer.Option(help="gemma3-270m, a folder, or organisation/name on the Hub.")] = "gemma3-270m",
    method: Annotated[str, typer.Option(help="lora or full.")] = "lora",
    rank: Annotated[int, typer.Option(help="LoRA rank.")] = 16,
    alpha: Annotated[int, typer.Option(help="LoRA alpha.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 3e-4,
    epochs: Annotated[float, typer.Option(help="Passes over the mixture.")] = 2,
    batch_size: Annotated[int, typer.Option(help="Examples per step and device.")] = 8,
    gradient_accumulation: Annotated[int, typer.Option(help="Batches per optimiser step.")] = 1,
    max_length: options.MaxLength = 2048,
    overlong: options.Overlong = "error",
    chat_template: options.ChatTemplate = None,
    softmax: Annotated[str, typer.Option(help="full or sampled (see docs/tuning.md).")] = "full",
    quantization: Annotated[str, typer.Option(help="none, or 4bit (QLoRA).")] = "none",
    processes: Annotated[int, typer.Option(help="Processes, one a device, started by accelerate.")] = 1,
    accelerate_config: Annotated[
        str | None, typer.Option(help="ddp, fsdp2, deepspeed-zero2, deepspeed-zero3 or a file.")
    ] = None,
    report_to: Annotated[str, typer.Option(help="Trackers, with commas: trackio, wandb, mlflow, tensorboard.")] = "",
    language: options.Language = None,
    seed: options.Seed = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Prove every example and leave.")] = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Tune a base model on a mixture; the output folder is the model, ready for transformers, PEFT and vLLM.

    Every example is proven first: that its labels are its responses and their stop tokens, and nothing else.

    \b
    Examples:
        pinch tune mixtures/pinch --output models/pinch
        pinch tune english.jsonl --base Qwen/Qwen2.5-0.5B --epochs 3 --dry-run --output models/english
    """
    import pydantic

    from pinchtune.study import reading, single
    from pinchtune.tuning.settings import TuningSettings

    try:
        settings = TuningSettings.model_validate(
            {
                "method": method,
                "rank": rank,
                "alpha": alpha,
                "learning_rate": learning_rate,
                "epochs": epochs,
                "batch_size": batch_size,
                "gradient_accumulation": gradient_accumulation,
                "max_length": max_length,
                "overlong": overlong,
                "chat_template": chat_template,
                "softmax": softmax,
                "quantization": quantization,
                "processes": processes,
                "accelerate_config": accelerate_config,
                "report_to": [name.strip() for name in report_to.split(",") if name.strip()],
            }
        )
    except pydantic.ValidationError as error:
        faults = [f"--{str(f['loc'][0]).replace('_', '-')}: {f['msg']}, given {f['input']!r}" for f in error.errors()]
        raise PinchError("; ".join(faults), hint="pinch tune --help") from None
    console = Console(quiet=quiet, as_json=as_json)
    quiet_libraries()
    if dry_run:
        from pinchtune.tuning.proof import prove

        found, _ = reading.read_examples([examples], language=language)
        proof = prove(found, base=base, settings=settings, on_note=console.note)
        console.result(
            proof,
            text=f"{proof['n_examples']} examples proven: {proof['n_tokens']} tokens, "
            f"{proof['n_labels']} of them trained; the longest has {proof['longest']}; "
            f"each response ends with {proof['stop_token']}.",
        )
        return
    with console.bar("tuning") as advance:
        kept = single.tune(
            examples,
            Path(output),
            base=base,
            settings=settings,
            seed=seed,
            on_note=console.note,
            advance=advance,
            language=language,
            overwrite=overwrite,
        )
    loss = kept.manifest.notes["loss"]
    finish(console, kept, [f"Loss {loss[0][1]:.2f} to {loss[-1][1]:.2f} nats per token."] if loss else [])


def generate(
    prompts: options.Prompts,
    output: options.Output,
    model: Annotated[str, typer.Option(help="A folder of `pinch tune`, gemma3-270m, or organisation/name.")],
    name: Annotated[str | None, typer.Option(help="What answers call the model [default: its folder's name].")] = None,
    engine: Annotated[str, typer.Option(help="See `pinch engines`.")] = "ctranslate2",
    languages: options.Languages = "",
    limit: options.Limit = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer at most.")] = 256,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.01, max=1, help="Nucleus sampling.")] = 1.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts in a batch.")] = 32,
    setting: options.Setting = None,
    language: options.Language = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Answer prompts with a model. A killed run goes on where it was.

    \b
    Examples:
        pinch generate pack --model models/pinch --languages en,fi,he --output answers/pinch
        pinch generate prompts.jsonl --model Qwen/Qwen2.5-0.5B-Instruct --engine transformers -o answers/qwen
        pinch generate pack --model my-model --engine endpoint --setting base_url=http://localhost:8000/v1 -o answers/m
    """
    from pinchtune.records import Sampling
    from pinchtune.study import reading, single

    console = Console(quiet=quiet, as_json=as_json)
    quiet_libraries()
    asked = reading.read_prompts(prompts, wanted=tags(languages), language=language, limit=limit)
    with console.bar("answering") as advance:
        kept = single.generate(
            asked,
            Path(output),
            model=model,
            name=name or model.rstrip("/").rsplit("/", 1)[-1],
            engine=engine,
            engine_settings=settings(setting),
            sampling=Sampling(max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed),
            batch_size=batch_size,
            on_note=console.note,
            advance=advance,
            overwrite=overwrite,
        )
    finish(console, kept, [])
