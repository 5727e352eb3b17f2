"""Batches: order, variation, padding, and errors, with and without worker processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import tempfile
import threading
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data._utils import signal_handling

from tests.opened import make_loader, open_data
from zoo.contract.spec import BackboneSpec, ImageInput, TextInput
from zoo.data.inputs import open_inputs
from zoo.data.loader import BatchReader, Loader
from zoo.data.read_ahead import in_threads
from zoo.data.samples import Samples
from zoo.data.sequences import Listed, Paths
from zoo.engine.loader_factory import LoaderFactory
from zoo.errors import BadFilesError, WorkersError
from zoo.modalities import IMAGE, TEXT
from zoo.modalities.image.batches import ImageBatches
from zoo.modalities.image.transforms import make_transform
from zoo.modalities.text.tokenization import TextEncoder, train_tokenizer

WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "lazy",
    "dogs",
    "while",
    "cats",
    "watch",
    "birds",
]


def images(folder: Path, count: int = 10) -> Samples:
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (24, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    inputs = Paths.under(folder, [f"{i:02}.png" for i in range(count)])
    return Samples(IMAGE, inputs, np.arange(count) % 2)


def texts(count: int = 60) -> Samples:
    generator = np.random.default_rng(0)
    items = tuple(
        " ".join(generator.choice(WORDS, size=generator.integers(1, 40))) for _ in range(count)
    )
    return Samples(TEXT, Listed(items, tuple(map(str, range(count)))), np.arange(count) % 3)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(train_tokenizer(texts().inputs.items, 200), TextInput(max_length=16))


def passes(loader, epochs: int = 2) -> list[list[dict[str, torch.Tensor]]]:
    result = []
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        result.append(list(loader))
    return result


def test_a_feed_that_does_not_say_how_a_batch_is_made_cannot_be():
    class Forgetful(BatchReader):
        samples = texts(1)

    with pytest.raises(TypeError, match="read"):
        Forgetful()


def test_images_come_in_order_with_their_labels_and_positions(tmp_path):
    samples = images(tmp_path)
    loader = make_loader(
        samples, transform=make_transform(ImageInput(size=16), False), batch_size=4
    )
    batches = list(loader)
    assert len(loader) == len(batches) == 3
    assert [tuple(b["pixel_values"].shape) for b in batches] == [(4, 3, 16, 16)] * 2 + [
        (2, 3, 16, 16)
    ]
    assert torch.cat([b["index"] for b in batches]).tolist() == list(range(10))
    assert torch.cat([b["labels"] for b in batches]).tolist() == samples.labels.tolist()
    assert batches[0]["labels"].dtype == torch.int64


def test_any_number_of_workers_gives_the_same_batches_in_every_epoch(tmp_path):
    samples = images(tmp_path)
    transform = make_transform(ImageInput(size=16), True)
    alone, helped = (
        passes(
            make_loader(
                samples, transform=transform, batch_size=4, shuffle=True, seed=5, workers=workers
            )
        )
        for workers in (0, 2)
    )
    for a, b in zip(chain(*alone), chain(*helped), strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    orders = [torch.cat([b["index"] for b in epoch]).tolist() for epoch in alone]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))


def test_an_image_is_varied_again_in_every_epoch_whatever_its_batch(tmp_path):
    samples = images(tmp_path, 4)
    transform = make_transform(ImageInput(size=16), True)

    def pixels(batch_size):
        loader = make_loader(samples, transform=transform, batch_size=batch_size)
        return [torch.cat([b["pixel_values"] for b in epoch]) for epoch in passes(loader)]

    first, second = pixels(4)
    assert not torch.equal(first, second)
    assert torch.equal(first, pixels(3)[0])


def test_batches_leave_the_global_random_state_alone(tmp_path):
    loader = make_loader(
        images(tmp_path),
        transform=make_transform(ImageInput(size=16), True),
        batch_size=4,
        shuffle=True,
    )
    before = torch.get_rng_state()
    list(loader)
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_give_the_same_batches_and_end_with_the_pass(tmp_path):
    transform, options = make_transform(ImageInput(size=16), False), {"batch_size": 2}
    alone = make_loader(images(tmp_path), transform=transform, **options)
    helped = make_loader(images(tmp_path), transform=transform, threads=2, **options)
    for _ in range(2):
        for a, b in zip(alone, helped, strict=True):
            assert a.keys() == b.keys()
            assert all(torch.equal(a[key], b[key]) for key in a)
    before = set(threading.enumerate())
    for _ in helped:
        assert set(threading.enumerate()) - before
        break
    assert not set(threading.enumerate()) - before


def test_images_are_read_ahead_by_no_more_than_the_threads_need():
    made = []
    results = in_threads(lambda item: made.append(item) or item * 2, range(100), threads=2)
    assert [next(results), next(results)] == [0, 2]
    results.close()
    assert len(made) <= 6


def test_files_for_features_and_validation_are_read_by_threads_and_others_by_processes(tmp_path):
    spec = BackboneSpec(
        name="test/small",
        modality="image",
        feature_dim=8,
        params=0,
        input=ImageInput(size=16),
        loader="nowhere:load",
    )
    (tmp_path / "0.png").touch()
    samples = Samples(IMAGE, Paths.under(tmp_path, ["0.png"] * 300), np.arange(300) % 2)
    chosen, asked = LoaderFactory(spec=spec), LoaderFactory(spec=spec, workers=1)
    loaders = [
        each
        for by in (chosen, asked)
        for each in (by.plain(samples), by.shuffled(samples, batch_size=4))
    ]
    found = [(each.threads > 0, each.num_workers > 0) for each in loaders]
    assert found == [(True, False), (False, True), (False, True), (False, True)]


@pytest.mark.parametrize("workers", [{}, {"workers": 1}, {"threads": 2}])
def test_a_damaged_image_is_reported_as_itself(tmp_path, workers):
    samples = images(tmp_path)
    (tmp_path / "05.png").write_bytes(b"")
    loader = make_loader(
        samples,
        transform=make_transform(ImageInput(size=16), False),
        batch_size=4,
        **workers,
    )
    with pytest.raises(BadFilesError, match=r"05\.png") as caught:
        list(loader)
    assert "Traceback" not in str(caught.value)
    assert caught.value.paths == (str(tmp_path / "05.png"),)
    assert caught.value.hint


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="the system says not who signals")
def test_a_signal_to_the_group_ends_no_worker_that_is_just_starting(tmp_path):
    transform = make_transform(ImageInput(size=16), False)
    with make_loader(images(tmp_path), transform=transform, batch_size=4, workers=1) as loader:
        start = loader.worker_init_fn

        def late(number: int) -> None:
            subprocess.run(["kill", "-TERM", str(os.getpid())], check=True)
            start(number)

        loader.worker_init_fn = late
        assert len(list(loader)) == 3


def with_workers(samples: Samples, workers: int = 1, **options):
    transform = make_transform(ImageInput(size=16), False)
    return make_loader(samples, transform=transform, batch_size=4, workers=workers, **options)


@pytest.fixture
def long_temporary_folder(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / ("a" * 110)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    # Sockets that this process has had before decide where those of its workers are.
    monkeypatch.delitem(multiprocessing.current_process()._config, "tempdir", raising=False)
    return folder


def test_batches_come_from_workers_whose_temporary_folder_has_a_long_name(
    tmp_path, long_temporary_folder
):
    samples = images(tmp_path)
    with with_workers(samples, workers=0) as here, with_workers(samples) as loader:
        for own, sent in zip(here, loader, strict=True):
            assert own.keys() == sent.keys()
            assert all(torch.equal(own[name], sent[name]) for name in own)
    assert not any(long_temporary_folder.iterdir())
    assert tempfile.gettempdir() == str(long_temporary_folder)


def test_where_no_socket_has_room_for_its_name_that_is_said(
    tmp_path, long_temporary_folder, monkeypatch
):
    monkeypatch.setattr("zoo.data.worker_batches._SHORT", ())
    began = time.monotonic()
    with with_workers(images(tmp_path)) as loader, pytest.raises(WorkersError) as caught:
        list(loader)
    assert "AF_UNIX path too long" in caught.value.message
    assert "--workers 0" in caught.value.hint
    assert "TMPDIR" in caught.value.hint
    assert time.monotonic() - began < 20


class Starving(ImageBatches):
    """Its worker may open no more files from the second batch on."""

    def __getitems__(self, keys):
        if keys[0][1] >= 4:
            most = len(os.listdir("/proc/self/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        return {"index": torch.tensor([index for _, index in keys])}


class Killed(ImageBatches):
    """Its worker is killed at the second batch, as the system does where memory is short."""

    def __getitems__(self, keys):
        if keys[0][1] >= 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitems__(keys)


def of_feed(kind: type[ImageBatches], samples: Samples) -> Loader:
    plain = with_workers(samples, workers=0)
    return Loader(kind(samples, plain.reader.transform, 0), plain.order, num_workers=1)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not count files")
def test_a_worker_that_may_open_no_more_files_says_so_and_ends(tmp_path):
    with of_feed(Starving, images(tmp_path)) as loader, pytest.raises(WorkersError) as caught:
        list(loader)
    # Either end may meet the limit first, and says another thing of it.
    assert caught.value.message.startswith("a worker process failed to send a batch: ")
    assert "ulimit -n" in caught.value.hint
    assert not multiprocessing.active_children()


@pytest.mark.skipif(os.name != "posix", reason="no signals")
def test_a_worker_that_is_killed_is_reported_with_its_signal_and_where_it_is_waited_for(tmp_path):
    signal_handling._set_SIGCHLD_handler()  # as another library's dataloader does
    began = time.monotonic()
    with of_feed(Killed, images(tmp_path)) as loader, pytest.raises(WorkersError) as caught:
        list(loader)
    assert "SIGKILL" in caught.value.message
    assert "--workers 0" in caught.value.hint
    assert time.monotonic() - began < 30
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
    assert not signal_handling._SIGCHLD_handler_set  # other loaders get it again


def test_a_batch_whose_worker_has_gone_cannot_be_opened(tmp_path):
    with with_workers(images(tmp_path)) as loader:
        raw = iter(torch.utils.data.DataLoader.__iter__(loader))
        packed = next(raw)
        loader._iterator._workers[0].kill()
        loader._iterator._workers[0].join()
        with pytest.raises(WorkersError, match="failed to send a batch"):
            packed.open()
        assert isinstance(packed.pin_memory(), WorkersError)


def test_batches_without_labels_have_none(tmp_path):
    images(tmp_path, 2)
    samples = open_inputs([tmp_path], IMAGE)
    transform = make_transform(ImageInput(size=16), False)
    (batch,) = make_loader(samples, transform=transform, batch_size=8)
    assert batch.keys() == {"pixel_values", "index"}


def test_a_last_batch_may_be_dropped(tmp_path):
    transform = make_transform(ImageInput(size=16), False)
    loader = make_loader(images(tmp_path), transform=transform, batch_size=4, drop_last=True)
    assert [len(b["index"]) for b in loader] == [4, 4]
    assert len(loader) == 2


def test_texts_are_padded_to_the_longest_of_their_batch(encoder):
    samples = texts()
    for batch in make_loader(samples, encoder=encoder, batch_size=8):
        ids, mask = batch["input_ids"], batch["attention_mask"]
        assert ids.dtype == mask.dtype == torch.int64
        assert ids.shape == mask.shape
        assert mask.sum(1).max() == ids.shape[1] <= 16
        assert (ids[mask == 0] == 0).all()
        for row, index in enumerate(batch["index"].tolist()):
            (expected,) = encoder.encode([samples.raw(index)])
            assert ids[row][mask[row] == 1].tolist() == expected
            assert batch["labels"][row] == samples.labels[index]


def test_pairs_say_which_text_a_token_is_of_and_single_texts_do_not():
    from tokenizers.processors import TemplateProcessing

    tokenizer = train_tokenizer(texts().inputs.items, 200, pairs=True)
    items = tuple((f"the quick {word}", f"{word} dogs") for word in WORDS)
    samples = Samples(TEXT, Listed(items, WORDS), np.arange(len(items)) % 2)
    encoder = TextEncoder(tokenizer, TextInput(max_length=16))
    for batch in make_loader(samples, encoder=encoder, batch_size=5, shuffle=True):
        expected = encoder.tokens([samples.raw(i) for i in batch["index"].tolist()])
        for row, tokens in enumerate(expected):
            kept = batch["attention_mask"][row] == 1
            assert batch["input_ids"][row][kept].tolist() == tokens.ids
            assert batch["token_type_ids"][row][kept].tolist() == tokens.types
            assert 1 in tokens.types
            assert not batch["token_type_ids"][row][~kept].any()
    (single,) = make_loader(texts(4), encoder=encoder, batch_size=4)
    assert "token_type_ids" not in single
    # A tokenizer that does not tell the texts apart, as RoBERTa's.
    tokenizer.post_processor = TemplateProcessing(
        single="$A", pair="$A [SEP] $B", special_tokens=[("[SEP]", tokenizer.token_to_id("[SEP]"))]
    )
    plain = TextEncoder(tokenizer, TextInput(max_length=16))
    (batch,) = make_loader(samples, encoder=plain, batch_size=50)
    assert "token_type_ids" not in batch


def test_evaluation_sorts_texts_by_length_and_loses_none(encoder):
    batches = list(make_loader(texts(), encoder=encoder, batch_size=8))
    lengths = torch.cat([b["attention_mask"].sum(1) for b in batches])
    assert (lengths.diff() <= 0).all()
    assert sorted(torch.cat([b["index"] for b in batches]).tolist()) == list(range(60))


def test_without_sorting_texts_stay_in_order(encoder):
    loader = make_loader(texts(), encoder=encoder, batch_size=8, by_length=False)
    assert torch.cat([b["index"] for b in loader]).tolist() == list(range(60))


def test_training_brings_texts_of_like_length_together_in_a_random_order(encoder):
    samples = texts(400)

    def fill(**options):
        loader = make_loader(samples, encoder=encoder, batch_size=8, shuffle=True, **options)
        first, second = passes(loader)
        masks = [b["attention_mask"] for b in first]
        orders = [torch.cat([b["index"] for b in epoch]).tolist() for epoch in (first, second)]
        assert orders[0] != orders[1]
        assert sorted(orders[0]) == list(range(400))
        return sum(m.sum() for m in masks) / sum(m.numel() for m in masks)

    assert fill() > 0.95 > fill(by_length=False)
    lengths = [
        b["input_ids"].shape[1]
        for b in make_loader(samples, encoder=encoder, batch_size=8, shuffle=True)
    ]
    assert lengths not in (sorted(lengths), sorted(lengths, reverse=True))


def test_the_same_seed_gives_the_same_order_of_texts(encoder):
    def order(seed):
        loader = make_loader(texts(), encoder=encoder, batch_size=8, shuffle=True, seed=seed)
        return torch.cat([b["index"] for b in loader]).tolist()

    assert order(1) == order(1) != order(2)


# -- samples -----------------------------------------------------------------------------------


def test_paths_take_little_to_send_and_may_hold_any_character(tmp_path):
    names = [f"class/{i:06}.jpg" for i in range(10_000)] + ["é ü.png", "日本.png"]
    paths = Paths.under("/data", names)
    assert paths[10_001] == "/data/日本.png"
    assert len(pickle.dumps(paths)) < 30 * len(names)


def test_a_selection_keeps_labels_names_and_says_what_it_is(tmp_path):
    samples = Samples(
        TEXT, Listed(("a", "b", "c"), ("1", "2", "3")), np.array([0, 1, 2]), fingerprint="x"
    )
    chosen = samples.select([2, 0])
    assert [chosen.raw(i) + chosen.input(i) for i in range(2)] == ["c3", "a1"]
    assert chosen.labels.tolist() == [2, 0]
    assert chosen.fingerprint not in ("x", samples.select([0, 2]).fingerprint)
    assert chosen.fingerprint == samples.select([2, 0]).fingerprint


def test_a_memory_mapped_table_is_sent_as_the_path_of_its_file(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")
    rows = "".join(f"{'long text ' * 100}{i},{i % 2}\n" for i in range(500))
    (tmp_path / "x.csv").write_text("text,label\n" + rows)
    train = open_data(tmp_path / "x.csv", kind=TEXT).train
    sent = pickle.dumps(train)
    assert len(sent) < 50_000 < (tmp_path / "x.csv").stat().st_size
    copy = pickle.loads(sent)
    assert [copy.raw(i) for i in range(5)] == [train.raw(i) for i in range(5)]
    assert "x.csv row " in copy.input(0)
