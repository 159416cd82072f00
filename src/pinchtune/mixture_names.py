"""Mixtures by content, each with one name, so that what two experiments have in common is tuned once.

Content is the languages, the sizes, the seed and how they are drawn. The names of what experiments make are functions
of it alone:

| name | content |
| --- | --- |
| `mono-fi` | Finnish alone |
| `even-en_fi_ru` | an even split |
| `pinch-40-en-with-ar_fi` | English, 40 examples replaced |

with `-of-SIZE` where the size is not the recipe's and `-seed-SEED` where the seed is not.

The records of a study's steps name no model as a recipe does, but by `content_name`: so that they are the same in every
recipe, whatever it calls its mixtures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pinchtune import store
from pinchtune.design_words import (
    Custom,
    Mixture,
    Monolingual,
    Pinch,
    Uniform,
    mixture_counts,
    mixture_languages,
    mixture_size,
    pinch_size,
)

if TYPE_CHECKING:
    from pinchtune.recipe import Recipe

#: A name spells out so many languages; of more it says how many, and a hash.
_SPELT_OUT = 6


def in_order(tags: Sequence[str]) -> list[str]:
    """Return languages in the one order that experiments know: English, then by tag."""
    return sorted(tags, key=lambda tag: (tag != "en", tag))


def even(tags: Sequence[str], size: int, seed: int) -> Mixture:
    """Return an even split of so many examples over languages, whatever their order here."""
    if len(tags) == 1:
        return Monolingual(design="monolingual", language=tags[0], n_examples=size, seed=seed)
    return Uniform(design="uniform", languages=in_order(tags), n_examples=size, seed=seed)


def content_name(mixture: Mixture, seed: int) -> str:
    """Return what a mixture's model is called in the records of a study: "mono-fi-of-100-seed-0".

    Args:
        mixture: As a recipe has it.
        seed: The recipe's, for a mixture without its own.
    """
    plain = plainest(mixture)
    return f"{_body(plain)}-of-{mixture_size(plain)}-seed-{seed if plain.seed is None else plain.seed}"


class Registry:
    """Mixtures by content, each with one name."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self.mixtures: dict[str, Mixture] = dict(recipe.mixtures)
        self._names: dict[tuple[Any, ...], str] = {}
        self._monolingual: dict[tuple[str, int, int], str] = {}
        for name, mixture in recipe.mixtures.items():
            self._names.setdefault(self._content(plainest(mixture)), name)

    def name(self, mixture: Mixture, label: str | None = None) -> str:
        """Return the name of a mixture, taking it up where its content is new.

        Raises:
            ValueError: the name belongs to other content.
        """
        plain = plainest(mixture)
        content = self._content(plain)
        if content not in self._names:
            name = (label or _body(plain)) + self._suffix(plain, sized=label is None)
            if name in self.mixtures:
                raise ValueError(f"there is another mixture called {name!r}")
            seed = plain.seed if plain.seed != self._recipe.seed else None
            self.mixtures[name] = plain.model_copy(update={"seed": seed})
            self._names[content] = name
        return self._names[content]

    def monolingual(self, tag: str, size: int, seed: int) -> str:
        """Return the name of the mixture of one language."""
        key = (tag, size, seed)
        if key not in self._monolingual:
            self._monolingual[key] = self.name(even([tag], size, seed))
        return self._monolingual[key]

    def _content(self, mixture: Mixture) -> tuple[Any, ...]:
        seed = self._recipe.seed if mixture.seed is None else mixture.seed
        said = mixture.model_dump(exclude_none=True, exclude={"seed"})
        return (seed, store.canonical(said))

    def _suffix(self, mixture: Mixture, *, sized: bool) -> str:
        of = f"-of-{mixture_size(mixture)}" if sized and mixture_size(mixture) != self._recipe.n_examples else ""
        return of + (f"-seed-{mixture.seed}" if mixture.seed not in (None, self._recipe.seed) else "")


def plainest(mixture: Mixture) -> Mixture:
    """Return the plainest mixture that draws the same examples (`pinchtune.mixtures.designs`)."""
    alone = list(mixture_counts(mixture))
    if isinstance(mixture, Custom) and mixture.shares is not None:
        # Whether a small share comes to an example, the draw alone says.
        alone = [tag for tag, share in mixture.shares.items() if share]
    shared = {"n_examples": mixture_size(mixture), "seed": mixture.seed}
    # A pinch is drawn from the ids of its base language, whatever it is replaced by.
    if len(alone) == 1 and (not isinstance(mixture, Pinch) or alone == [mixture.base]):
        return Monolingual(design="monolingual", language=alone[0], **shared)
    if isinstance(mixture, Pinch):
        count = pinch_size(mixture)
        if count == mixture.n_examples and mixture.languages[0] == mixture.base:
            return Uniform(design="uniform", languages=mixture.languages, **shared)
        return mixture.model_copy(update={"pinch_examples": count, "pinch_percent": None})
    return mixture


def _body(mixture: Mixture) -> str:
    if isinstance(mixture, Monolingual):
        return f"mono-{mixture.language.lower()}"
    if isinstance(mixture, Uniform):
        return f"even-{_spell(mixture.languages)}"
    if isinstance(mixture, Pinch):
        return f"pinch-{pinch_size(mixture)}-{mixture.base.lower()}-with-{_spell(mixture.languages)}"
    content = store.content_key(mixture.model_dump(exclude_none=True, exclude={"seed"}))
    return f"custom-{_spell(in_order(mixture_languages(mixture)))}-{content[:6]}"


def _spell(tags: Sequence[str]) -> str:
    if len(tags) > _SPELT_OUT:
        return f"{len(tags)}-languages-{store.content_key(list(tags))[:6]}"
    return "_".join(tag.lower() for tag in tags)
