from pinchtune.identification import Identifier
from pinchtune.judging.fidelity import fidelity
from tests.conftest import answer, prompt


def test_each_answer_is_told_faithful_unfaithful_or_untellable():
    answers = [
        answer("a", "fi", text="Tämä on aivan tavallinen suomenkielinen vastaus."),
        answer("b", "fi", text="This is a perfectly ordinary English answer."),
        answer("c", "fi", text="7"),
    ]
    found = list(fidelity(answers, {}, Identifier()))
    assert [(one.id, one.faithful, one.found, one.reason) for one in found] == [
        ("a", True, "fi", None),
        ("b", False, "en", None),
        ("c", None, None, "too_short"),
    ]


def test_a_quotation_of_the_prompt_does_not_count():
    quoted = "All happy families are alike in this respect."
    asked = prompt("a", "fi", f"Käännä suomeksi:\n{quoted}")
    (found,) = fidelity(
        [answer("a", "fi", text=f"{quoted}\nKaikki onnelliset perheet ovat tässä suhteessa samanlaisia.")],
        {("a", "fi"): asked},
        Identifier(),
    )
    assert found.faithful is True
