"""COMET's plumbing; its models are on the Hub, so a stand-in of the library's face takes its place here."""

import sys
from types import SimpleNamespace

import pytest

from pinchtune.errors import MissingExtraError
from pinchtune.translation.quality import comet
from tests.conftest import example


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "comet", None)
    with pytest.raises(MissingExtraError, match="COMET needs a library") as raised:
        comet([example("a")], [example("a", "fi")])
    assert "pinchtune[comet]" in raised.value.hint


def test_source_and_translation_are_given_in_pairs(monkeypatch):
    seen = []

    def predict(pairs, **_):
        seen.extend(pairs)
        return SimpleNamespace(scores=[0.5 for _ in pairs])

    library = SimpleNamespace(
        download_model=lambda name: name, load_from_checkpoint=lambda _: SimpleNamespace(predict=predict)
    )
    monkeypatch.setitem(sys.modules, "comet", library)
    assert comet([example("a", user="Why?", assistant="So.")], [example("a", "fi", "Miksi?", "Siksi.")]) == [0.5]
    assert seen == [{"src": "Why?\n\nSo.", "mt": "Miksi?\n\nSiksi."}]
