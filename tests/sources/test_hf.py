import datasets
import pytest

from pinchtune.errors import DataError
from pinchtune.records import Example
from pinchtune.sources.hf import from_dataset, to_dataset
from tests.conftest import answer, example


def test_examples_go_to_a_dataset_and_come_back():
    records = [example("a"), example("b", "fi", "Miksi?", "Siksi.")]
    dataset = to_dataset(records)
    assert isinstance(dataset, datasets.Dataset)
    back = from_dataset(dataset).examples
    assert [(one.id, one.language, one.messages) for one in back] == [
        (one.id, one.language, one.messages) for one in records
    ]


def test_any_record_makes_a_column_per_field():
    dataset = to_dataset([answer("a")])
    assert set(dataset.column_names) == set(type(answer("a")).__struct_fields__)


def test_a_dataset_in_the_fields_shape_is_read_and_its_duplicates_counted():
    rows = [{"prompt": "Hi", "completion": "Hello"}] * 2
    loaded = from_dataset(datasets.Dataset.from_list(rows), language="en")
    assert (len(loaded.examples), loaded.n_duplicates) == (1, 1)
    assert isinstance(loaded.examples[0], Example)


def test_a_bad_row_is_named():
    with pytest.raises(DataError, match="line 1: has the keys 'text'"):
        from_dataset(datasets.Dataset.from_list([{"text": "Hi"}]), language="en")
