from hypothesis import given
from hypothesis import strategies as st

from pinchtune.tuning.batches import LengthGroupedSampler, collate

lengths = st.lists(st.integers(1, 500), min_size=1, max_size=60)


@given(lengths, st.integers(1, 9), st.integers(0, 99))
def test_every_example_comes_once_an_epoch(lengths, batch_size, seed):
    sampler = LengthGroupedSampler(lengths, batch_size, seed)
    assert sorted(sampler) == list(range(len(lengths)))


def test_epochs_differ_and_a_seed_repeats():
    sampler = LengthGroupedSampler(list(range(1, 65)), 8, seed=3)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(LengthGroupedSampler(list(range(1, 65)), 8, seed=3)) == first


def test_batches_hold_like_lengths():
    sampled = list(LengthGroupedSampler([10] * 32 + [500] * 32, 8, seed=0))
    batches = [sampled[start : start + 8] for start in range(0, 64, 8)]
    assert all(len({place < 32 for place in batch}) == 1 for batch in batches)


def test_padding_is_masked_and_not_trained():
    batch = collate([{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}, {"input_ids": [8], "labels": [8]}], pad_id=0)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]
