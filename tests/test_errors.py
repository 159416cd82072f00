from pinchtune.errors import DataError, PinchError, RecipeError, RunError, did_you_mean


def test_a_data_error_names_file_and_line():
    error = DataError("a.jsonl", 7, "is not JSON.", hint="Each line is one object.")
    assert str(error) == "a.jsonl, line 7: is not JSON.\nEach line is one object."


def test_a_recipe_error_lists_every_fault():
    error = RecipeError("r.yaml", ["seed: is missing.", "name: is missing."])
    assert "2 faults" in str(error)
    assert "seed: is missing." in str(error)
    assert "name: is missing." in str(error)


def test_failed_work_exits_with_1_and_wrong_input_with_2():
    assert RunError("x").exit_code == 1
    assert PinchError("x").exit_code == 2


def test_did_you_mean_suggests_the_nearest_and_lists_the_rest():
    assert did_you_mean("pinhc", ["pinch", "uniform"]) == "Did you mean pinch? Allowed: pinch, uniform."
    assert did_you_mean("zzz", ["pinch"]) == "Allowed: pinch."
    assert did_you_mean("x", []) == ""
