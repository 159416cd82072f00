import subprocess
import sys

import pytest

from pinchtune import plugins
from pinchtune.errors import MissingExtraError, PluginError


def test_a_wrong_name_is_refused_with_the_nearest():
    with pytest.raises(PluginError, match="There is no engine named 'ctranslate'") as raised:
        plugins.load("engines", "ctranslate")
    assert "Did you mean ctranslate2" in raised.value.hint


@pytest.mark.parametrize("kind", ["engines", "judges"])
def test_every_built_in_name_can_be_loaded(kind):
    assert all(callable(plugins.load(kind, name)) for name in plugins.names(kind))


def test_what_nobody_types_is_no_setting_and_in_no_hint():
    with pytest.raises(PluginError, match="reference has no setting 'on_note'") as raised:
        plugins.construct("judges", "reference", {"on_note": "x"})
    assert "on_note" not in raised.value.hint
    with pytest.raises(PluginError, match="llm has no setting 'on_note'"):
        plugins.construct("judges", "llm", {"model": "m", "on_note": "x"})
    with pytest.raises(PluginError, match="endpoint has no setting 'atempts'") as raised:
        plugins.construct("engines", "endpoint", {"model": "m", "on_note": print, "atempts": 2})
    assert raised.value.hint.startswith("Did you mean attempts? Allowed: attempts, base_delay")
    assert not {"model", "on_note"} & set(raised.value.hint.replace(",", "").rstrip(".").split())


def test_a_missing_library_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(MissingExtraError) as raised:
        plugins.require("ctranslate2", "The ctranslate2 engine")
    assert "pip install 'pinchtune[ctranslate2]'" in str(raised.value)


def test_listing_engines_imports_nothing_heavy():
    code = (
        "import sys; from pinchtune import plugins; plugins.names('engines');"
        "print([m for m in ('torch', 'transformers', 'ctranslate2', 'matplotlib', 'lingua') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
