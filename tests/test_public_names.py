import subprocess
import sys

import pytest

import pinchtune


def test_every_public_name_is_there_and_every_lazy_name_is_public():
    assert sorted(pinchtune._PUBLIC) == pinchtune.__all__ == sorted(pinchtune.__all__)
    for name in pinchtune.__all__:
        assert getattr(pinchtune, name) is not None


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'tuen'"):
        _ = pinchtune.tuen


def test_importing_pinchtune_imports_nothing_heavy():
    code = "import sys, pinchtune; print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
