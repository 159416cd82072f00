"""What a tuning run can be told, typed and documented per field; shared by recipes and `pinch tune`."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from pinchtune.errors import did_you_mean

#: The trackers that transformers' Trainer can report to (transformers.integrations, INTEGRATION_TO_CALLBACK).
TRACKERS = (
    "azure_ml",
    "clearml",
    "codecarbon",
    "comet_ml",
    "dagshub",
    "dvclive",
    "flyte",
    "kubeflow",
    "mlflow",
    "neptune",
    "swanlab",
    "tensorboard",
    "trackio",
    "wandb",
)
#: Left out of what is dumped while they have their defaults: keys of steps made before them stay what they were.
_LATER = ("quantization", "processes", "accelerate_config", "attention", "padding_free", "liger")


class TuningSettings(pydantic.BaseModel):
    """How to tune: defaults are those of the quickstart."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    method: Literal["lora", "full"] = pydantic.Field("lora", description="LoRA adapters, or all weights.")
    rank: int = pydantic.Field(16, ge=1, description="LoRA rank r.")
    alpha: int = pydantic.Field(32, ge=1, description="LoRA alpha; updates are scaled by alpha / rank.")
    dropout: float = pydantic.Field(0.0, ge=0, lt=1, description="LoRA dropout.")
    learning_rate: float = pydantic.Field(3e-4, gt=0, description="Peak learning rate of AdamW.")
    schedule: Literal["linear", "cosine", "constant"] = pydantic.Field("linear", description="After warm-up.")
    warmup_ratio: float = pydantic.Field(0.1, ge=0, lt=1, description="Share of steps spent on warm-up.")
    weight_decay: float = pydantic.Field(0.0, ge=0, description="AdamW's weight decay.")
    epochs: float = pydantic.Field(2, gt=0, description="Passes over the mixture.")
    batch_size: int = pydantic.Field(8, ge=1, description="Examples per step and device.")
    gradient_accumulation: int = pydantic.Field(1, ge=1, description="Batches per optimiser step.")
    max_length: int = pydantic.Field(2048, ge=8, description="Tokens of a whole conversation.")
    overlong: Literal["error", "drop"] = pydantic.Field(
        "error", description="A conversation over max_length: stop with an error, or leave it out, counted."
    )
    chat_template: str | None = pydantic.Field(
        None, description="gemma, chatml, plain or a Jinja file; null: the model's own, or its family's."
    )
    softmax: Literal["full", "sampled"] = pydantic.Field(
        "full",
        description="The loss's softmax: over the whole vocabulary; or (LoRA) over the mixture's own tokens and 8192 "
        "others drawn at each step, faster where the vocabulary is large.",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = pydantic.Field(
        "auto",
        description="auto: bfloat16 on a GPU that computes in it and on a CPU with AMX, else float32. "
        "method: full computes in float32 on any CPU.",
    )
    report_to: tuple[str, ...] = pydantic.Field(
        (), description="Trackers as transformers names them: trackio, wandb, mlflow, tensorboard ..."
    )
    quantization: Literal["none", "4bit"] = pydantic.Field(
        "none",
        description="4bit (LoRA): the frozen weights in 4 bits, NF4 with double quantisation, by bitsandbytes (QLoRA).",
    )
    processes: int = pydantic.Field(
        1, ge=1, description="Processes, one a device, that accelerate starts; a step has batch_size examples of each."
    )
    accelerate_config: str | None = pydantic.Field(
        None,
        description="ddp, fsdp2, deepspeed-zero2, deepspeed-zero3, or a file of `accelerate config`; null: ddp where "
        "processes is over 1.",
    )
    attention: Literal["auto", "sdpa", "flash_attention_2", "flex_attention", "eager"] = pydantic.Field(
        "auto",
        description="What computes attention, as transformers names it; auto: flash_attention_2 where flash-attn and a "
        "GPU for it are there, else transformers' choice for the model.",
    )
    padding_free: Literal["auto"] | bool = pydantic.Field(
        "auto",
        description="Lay a batch's conversations end to end in one row, each behind a wall for attention, in place of "
        "padding them; auto: on a GPU with flash_attention_2 or flex_attention.",
    )
    liger: Literal["auto"] | bool = pydantic.Field(
        "auto", description="Liger's kernels for norms, positions and MLP; auto: on a GPU, where they are installed."
    )

    @pydantic.field_validator("report_to")
    @classmethod
    def _known_trackers(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for name in given:
            if name not in TRACKERS:
                raise ValueError(f"transformers knows no tracker {name!r}. {did_you_mean(name, TRACKERS)}")
        return given

    @pydantic.model_serializer(mode="wrap")
    def _without_later_defaults(self, dump: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = dump(self)
        for name in _LATER:
            if name in dumped and getattr(self, name) == type(self).model_fields[name].default:
                del dumped[name]
        return dumped
