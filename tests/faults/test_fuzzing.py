"""Whatever bytes or values come in: a right answer or an error of zoo's, and nothing else."""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zoo
from tests.opened import open_data
from tests.unit.test_backbone import SPEC
from zoo import BackboneSpec, ImageInput, TextInput, Weights
from zoo.cli.output import clean
from zoo.data.cells import split_cell
from zoo.data.labels import plain_label
from zoo.data.sources.dialects import dialect_of
from zoo.errors import PolicyError, RunError, WeightsError, ZooError
from zoo.modalities import TEXT
from zoo.registry.discovery import PluginSource
from zoo.registry.index import FORMAT, Index
from zoo.registry.policy import Policy, apply_file
from zoo.registry.policy_file import with_run, without_run
from zoo.registry.registry import Registry
from zoo.registry.run_record import read_record, read_run
from zoo.runs.model_card import plain
from zoo.training.claims import short_name
from zoo.weights.loading.load import read_state_dict

EVERYDAY = 50
"""Cases of a property in the everyday suite."""

Value = TypeVar("Value")


def explore(
    count: int,
    check: Callable[[Any], None],
    inputs: st.SearchStrategy[Any],
    everyday: bool = True,
) -> None:
    """Ask ``check`` of ``count`` inputs: everyday the same ones, in the slow suite new ones."""

    def one(value: Any) -> None:
        check(value)

    settings(
        max_examples=count,
        deadline=None,
        derandomize=everyday,
        database=None,
        suppress_health_check=list(HealthCheck),
    )(given(inputs)(one))()


def answered(
    act: Callable[[], Value], refusal: type[ZooError] = ZooError
) -> tuple[Value | None, str]:
    """What comes of ``act``, or what its refusal says; anything else that it raises is a fault."""
    try:
        return act(), ""
    except refusal as error:
        return None, error.message


SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12)),
    *(st.just(2**70), st.just("x" * 10_000), st.just("../../up"), st.just("\x1b[2J")),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
"""Values that JSON can hold, odd ones among them."""

NAMES = st.text(max_size=30) | st.sampled_from(
    [
        "",
        ".",
        "..",
        "../x",
        "/etc/passwd",
        "a/b/c",
        "hf:",
        "path:",
        "hf/../..",
        "a\0b",
        "~x",
        "x" * 9999,
    ]
)


@st.composite
def somewhere_else(draw: st.DrawFn, document: Any) -> Any:
    """``document`` with one to three values replaced, taken out, or put in."""
    changed = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(changed))
        container, key = draw(st.sampled_from(places)) if places else (changed, "x")
        act = draw(st.sampled_from(["replace", "remove", "add"]))
        if act == "remove":
            del container[key]
        elif act == "add" and isinstance(container, dict):
            container[draw(st.text(max_size=8))] = draw(JSON)
        else:
            container[key] = draw(JSON)
    return changed


def _places(value: Any) -> Any:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield value, key
        yield from _places(value[key])


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """``content`` cut, with other bytes at some place, or with bytes put in."""
    start = draw(st.integers(0, len(content)))
    length = draw(st.integers(0, 40))
    filling = draw(st.binary(max_size=40))
    kept = content[start + length :] if draw(st.booleans()) else b""
    return content[:start] + filling + kept


# -- names -------------------------------------------------------------------------------------


class Names:
    """Properties of names; each is asked everyday, and more often by the slow suite."""

    @staticmethod
    def resolve(registry: Registry, name: str) -> None:
        spec, refusal = answered(lambda: registry.spec(name))
        assert refusal or (spec and spec.name)

    @staticmethod
    def folder(name: str) -> None:
        short = short_name(name)
        assert Path(short).name == short
        assert short not in ("", ".", "..")
        assert len(short.encode()) < 250

    @staticmethod
    def terminal(text: str) -> None:
        shown = clean(text)
        assert shown == clean(shown)
        assert "\n" not in shown
        assert not any(unicodedata.category(c) == "Cc" for c in shown)
        assert not any(
            unicodedata.bidirectional(c) in ("RLO", "LRO", "RLE", "LRI", "RLI") for c in shown
        )

    @staticmethod
    def card(text: str) -> None:
        shown = plain(text)
        assert not re.search(r"[<>\n]", shown)
        assert not re.search(r"(?<!\\)(?:\\\\)*[`|\[]", shown)

    @staticmethod
    def label(text: str) -> None:
        assert plain_label(plain_label(text)) == plain_label(text)
        for part in split_cell(text):
            assert part
            assert part == part.strip()


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.discover()


@pytest.mark.parametrize("check", [Names.folder, Names.terminal, Names.card, Names.label])
def test_any_name_becomes_a_folder_a_line_a_card_and_a_label(check: Callable[[str], None]) -> None:
    explore(EVERYDAY, check, NAMES)


def test_any_name_resolves_or_is_refused(registry: Registry) -> None:
    explore(EVERYDAY, lambda name: Names.resolve(registry, name), NAMES)


# -- specs -------------------------------------------------------------------------------------

SPECS = [
    SPEC,
    BackboneSpec(
        name="x/words",
        modality="text",
        feature_dim=8,
        params=9,
        input=TextInput(max_length=12, pooling="mean"),
        loader="a:b",
        weights=(Weights(tag="v1", uri="https://example.invalid/a.pth", input=TextInput()),),
        config={"a": {"b": [1, 2]}},
    ),
]


def check_spec(data: Any) -> None:
    """A spec from any JSON is refused, or survives the way through JSON and does what specs do."""
    spec, refusal = answered(lambda: BackboneSpec.from_json(data))
    if spec is None:
        assert refusal
        return
    written = json.dumps(spec.to_json())
    assert json.dumps(BackboneSpec.from_json(json.loads(written)).to_json()) == written
    assert isinstance(spec.plugin + spec.arch, str)
    assert spec.default_weights is None or spec.default_weights.default
    if isinstance(spec.input, ImageInput):
        assert spec.input.fitting(7) >= 7
    hash(spec)


SPEC_JSON = st.sampled_from([spec.to_json() for spec in SPECS]).flatmap(somewhere_else) | JSON


@pytest.mark.filterwarnings("ignore:.*has a field:UserWarning")
def test_a_spec_is_read_or_refused() -> None:
    explore(EVERYDAY, check_spec, SPEC_JSON)


# -- registry.toml -----------------------------------------------------------------------------

GOOD_TOML = """schema = 1
# a comment
[resolve]
order = ["torchvision", "timm"]

[aliases]
mine = "acme/middle"

[plugins.acme]
enabled = false

[weights."a/b"]
sha256 = "%s"

[models.plants]
run = "runs/x"
""" % ("0" * 64)

KEYS = st.sampled_from(
    ["schema", "resolve", "order", "aliases", "plugins", "models", "run", "enabled"]
)
VALUES = st.sampled_from(
    ['"x"', "1", "true", "[]", '["a"]', "{}", "{run = 1}", "1979-05-27", "nan", "''"]
)
TOML = st.one_of(
    damaged(GOOD_TOML.encode()),
    st.binary(max_size=60),
    st.lists(
        st.one_of(
            st.builds(lambda k, v: f"{k} = {v}", KEYS, VALUES),
            st.builds(lambda *k: f"[{'.'.join(k)}]", KEYS, KEYS),
            st.builds(lambda k, t: f"[{k}.{json.dumps(t)}]", KEYS, st.text(max_size=9)),
        ),
        max_size=8,
    ).map(lambda lines: "\n".join(lines).encode()),
)


def check_toml(folder: Path, content: bytes) -> None:
    """It is policy, or an error that names the file."""
    path = folder / "registry.toml"
    path.write_bytes(content)
    policy, refusal = answered(lambda: apply_file(Policy(), path), PolicyError)
    if policy is None:
        assert str(path) in refusal
        return
    assert policy.files in ((path,), ())  # another program's file is ignored, with a warning
    assert all(isinstance(run, Path) for run in policy.runs.values())


def check_edit(text: str, name: str, folder: str) -> None:
    """A run that is added to a file and taken out again leaves what the file said."""
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    if not isinstance(before.get("models", {}), dict) or name in before.get("models", {}):
        return
    added = with_run(text, name, folder)
    assert tomllib.loads(added)["models"][name] == {"run": folder}
    after = tomllib.loads(without_run(added, name))
    assert {k: v for k, v in after.items() if v or k != "models"} == {
        k: v for k, v in before.items() if v or k != "models"
    }


RUN_NAMES = st.from_regex(r"[^\W_][\w.-]{0,20}", fullmatch=True)
FOLDERS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=30)


def test_a_registry_file_is_read_or_refused_by_its_name(tmp_path: Path) -> None:
    explore(EVERYDAY, lambda content: check_toml(tmp_path, content), TOML)


def test_a_run_that_is_added_and_removed_leaves_the_file_as_it_was() -> None:
    explore(EVERYDAY // 3, lambda pair: check_edit(GOOD_TOML, *pair), st.tuples(RUN_NAMES, FOLDERS))


# -- run.json ----------------------------------------------------------------------------------


def check_record(folder: Path, content: bytes) -> None:
    """A run folder opens, starts others, or is refused by its name."""
    (folder / "run.json").write_bytes(content)
    for read in (read_record, read_run, zoo.open_run):
        found, refusal = answered(partial(read, folder), RunError)
        if found is None:
            assert str(folder) in refusal
        elif isinstance(found, zoo.Run):
            assert repr(found)
            assert isinstance(found.metrics, dict)
            assert isinstance(found.pairs, bool)


def check_loading(folder: Path, content: bytes) -> None:
    """A run is loaded with its own weights, or refused."""
    (folder / "run.json").write_bytes(content)
    backbone, refusal = answered(lambda: zoo.open_run(folder).load())
    assert refusal or backbone
    assert backbone is None or sum(p.numel() for p in backbone.parameters()) < 10_000_000


@pytest.fixture(scope="module")
def fuzzed_run(run_of_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.faults.test_hostile_weights import copied

    return copied(run_of_photos, tmp_path_factory.mktemp("fuzz") / "run")


def records(run: Path) -> st.SearchStrategy[bytes]:
    content = (run / "run.json").read_bytes()
    changed = somewhere_else(json.loads(content)).map(lambda data: json.dumps(data).encode())
    return st.one_of(changed, changed, damaged(content), st.binary(max_size=40))


@pytest.mark.filterwarnings("ignore:.*has a field:UserWarning")
def test_a_record_opens_or_is_refused_by_its_name(fuzzed_run: Path, run_of_photos: Path) -> None:
    explore(EVERYDAY, lambda c: check_record(fuzzed_run, c), records(run_of_photos))


@pytest.mark.filterwarnings("ignore:.*has a field:UserWarning")
def test_a_record_loads_or_is_refused(fuzzed_run: Path, run_of_photos: Path) -> None:
    spec = json.loads((run_of_photos / "run.json").read_text())
    inside = somewhere_else(spec["spec"]).map(
        lambda own: json.dumps({**spec, "spec": own}).encode()
    )
    explore(50, lambda content: check_loading(fuzzed_run, content), inside)


# -- weights -----------------------------------------------------------------------------------

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2)}
SAFE = safetensors.torch.save(TENSORS, metadata={"format": "pt"})


def _pickled(**options: Any) -> bytes:
    import io

    buffer = io.BytesIO()
    torch.save(TENSORS, buffer, **options)
    return buffer.getvalue()


@st.composite
def safe_header(draw: st.DrawFn) -> bytes:
    """A safetensors file whose header is JSON, and says something else."""
    length = int.from_bytes(SAFE[:8], "little")
    header = json.loads(SAFE[8 : 8 + length])
    text = json.dumps(draw(somewhere_else(header))).encode()
    return len(text).to_bytes(8, "little") + text + SAFE[8 + length :]


def check_weights(path: Path, content: bytes) -> None:
    """It is read as tensors with names, or refused by the file's name."""
    path.write_bytes(content)
    state, refusal = answered(lambda: read_state_dict(path), WeightsError)
    if state is None:
        assert str(path) in refusal
        return
    assert all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items())
    assert sum(tensor.nbytes for tensor in state.values()) <= 10 * len(content)


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("x.safetensors", safe_header() | damaged(SAFE)),
        ("x.pth", damaged(_pickled()) | damaged(_pickled(_use_new_zipfile_serialization=False))),
    ],
)
def test_weights_are_read_or_refused_by_the_file_s_name(
    name: str, contents: st.SearchStrategy[bytes], tmp_path: Path
) -> None:
    explore(EVERYDAY, lambda content: check_weights(tmp_path / name, content), contents)


# -- the index ---------------------------------------------------------------------------------

SOURCE = PluginSource("acme", "acme:plugin", "acme", "1.0")


def check_index(folder: Path, body: bytes, *, honest: bool) -> None:
    """A file of the index is used, or counts as absent; never more."""
    index = Index(folder)
    path = index._path(SOURCE)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"format": FORMAT, "key": index._key(SOURCE), "crc32": zlib.crc32(body)}
    path.write_bytes(
        json.dumps(header, separators=(",", ":")).encode() + b"\n" + body if honest else body
    )
    kept = index.cached(SOURCE)
    assert kept is None or kept.status == "ok"


BODY = b'["",""]\n["small"]\n' + json.dumps(SPEC.to_json(), separators=(",", ":")).encode()


@pytest.mark.parametrize("honest", [True, False])
def test_the_index_is_used_or_made_again(honest: bool, tmp_path: Path) -> None:
    bodies = damaged(BODY) | st.binary(max_size=60)
    explore(EVERYDAY // 2, lambda body: check_index(tmp_path, body, honest=honest), bodies)


# -- tables ------------------------------------------------------------------------------------

CELLS = st.text(max_size=12) | st.sampled_from(
    ["", " ", "good", "bad", "NaN", "1", '"', "a,b", "a\nb"]
)
TABLE = st.one_of(
    st.lists(st.tuples(CELLS, CELLS), max_size=9).map(
        lambda rows: "\n".join(["text,label", *(",".join(row) for row in rows)]).encode(
            "utf-8", "replace"
        )
    ),
    damaged(b"text,label\n" + b"a lovely film,good\nwhat a bore,bad\n" * 6),
    damaged(b'text\tlabel\n"quoted" text\tgood\nplain\tbad\n' * 3),
    st.binary(max_size=80),
)


def check_table(path: Path, content: bytes) -> None:
    """Every row is used or reported, or the table is refused by its name."""
    path.write_bytes(content)
    splits, refusal = answered(lambda: open_data(path, kind=TEXT, bad_files="skip"))
    if splits is None:
        assert path.name in refusal
        return
    assert splits.val is not None
    used = len(splits.train) + len(splits.val)
    assert used >= 2
    assert len(splits.classes) >= 2
    lines = [row for row in content.replace(b"\r", b"\n").split(b"\n") if row.strip()]
    assert used + len(splits.skipped) <= len(lines)


def check_dialect(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    dialect, refusal = answered(lambda: dialect_of(path))
    assert path.name in refusal if dialect is None else dialect.delimiter in ",;\t"


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_how_a_table_is_written_is_found_out_or_it_is_refused(name: str, tmp_path: Path) -> None:
    explore(EVERYDAY // 2, lambda content: check_dialect(tmp_path / name, content), TABLE)


def test_a_table_is_read_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    explore(40, lambda content: check_table(tmp_path / "t.csv", content), TABLE)


# -- more of the same --------------------------------------------------------------------------


@pytest.mark.slow(1)
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("one_in", [20, pytest.param(1, marks=pytest.mark.long)])
def test_ten_thousand_more_cases(
    one_in: int,
    tmp_path: Path,
    registry: Registry,
    fuzzed_run: Path,
    run_of_photos: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Generated again at every run, a twentieth of them in CI; a failure is printed as an example to repeat."""
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    counted = 0

    def run(count: int, check: Callable[[Any], Any], inputs: st.SearchStrategy[Any]) -> None:
        def counting(value: Any) -> None:
            nonlocal counted
            counted += 1
            check(value)

        explore(count // one_in, counting, inputs, everyday=False)

    pth = tmp_path / "x.pth"
    run(
        2000,
        lambda name: [c(name) for c in (Names.folder, Names.terminal, Names.card, Names.label)],
        NAMES,
    )
    run(400, lambda name: Names.resolve(registry, name), NAMES)
    run(1500, check_spec, SPEC_JSON)
    run(1500, lambda content: check_toml(tmp_path, content), TOML)
    run(1200, lambda content: check_record(fuzzed_run, content), records(run_of_photos))
    run(1200, lambda content: check_weights(tmp_path / "x.safetensors", content), safe_header())
    run(1000, lambda content: check_weights(pth, content), damaged(_pickled()))
    run(1000, lambda body: check_index(tmp_path, body, honest=True), damaged(BODY))
    run(1000, lambda content: check_dialect(tmp_path / "t.csv", content), TABLE)
    run(60, lambda content: check_table(tmp_path / "t.csv", content), TABLE)
    assert counted >= 10_000 // one_in
