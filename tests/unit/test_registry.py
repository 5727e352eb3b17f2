"""Names, order, isolation: what a registry makes of its plugins and its policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_runs import made_run
from tests.unit.fake_plugins import Folder
from zoo.contract.readers import registered_readers, withdraw_readers
from zoo.contract.spec import BackboneSpec
from zoo.errors import AmbiguousNameError, NameLookupError, PluginError, RunError
from zoo.registry.discovery import PluginSource
from zoo.registry.index import Index
from zoo.registry.plugins import PluginStatus
from zoo.registry.policy import Policy, load_policy
from zoo.registry.registry import Registry

RESOLVER = """
@zoo.hookimpl
def zoo_resolve(name):
    if name.startswith("path:") or name.startswith("acme/org/"):
        return spec(name, feature_dim=9)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(place)
    return Folder(place)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "index")


def _status(registry: Registry, name: str) -> PluginStatus:
    return next(plugin for plugin in registry.plugins() if plugin.name == name)


# -- plugins --------------------------------------------------------------------------------


def test_every_status_is_reported_and_trouble_stays_where_it_is(
    folder: Folder, index: Index
) -> None:
    sources = [
        folder.good("good", "net", "net2"),
        folder.plugin("raising", "1 / 0"),
        folder.plugin("leaving", "import sys; sys.exit(0)"),
        folder.good("newer", "net", requires=("zoo-finetune>=99",)),
        folder.good("off", "net"),
        folder.good("twice", "net", distribution="one"),
        folder.good("twice", "net", distribution="two"),
    ]
    registry = Registry(sources, Policy(disabled=frozenset({"off"})), index)
    statuses = [(plugin.name, plugin.status) for plugin in registry.plugins()]
    assert statuses == [
        ("good", "ok"),
        ("raising", "broken"),
        ("leaving", "broken"),
        ("newer", "incompatible"),
        ("off", "disabled"),
        ("twice", "conflict"),
        ("twice", "conflict"),
    ]
    assert _status(registry, "good") == PluginStatus("good", "good-dist", "1.0", "ok", "", 2)
    assert "ZeroDivisionError" in _status(registry, "raising").reason
    assert "SystemExit" in _status(registry, "leaving").reason
    assert "zoo-finetune >=99" in _status(registry, "newer").reason
    assert "registry.toml" in _status(registry, "off").reason
    assert _status(registry, "twice").reason.startswith("one and two")
    assert registry.names() == ["good/net", "good/net2"]
    assert registry.resolve("net").spec.name == "good/net"


def test_the_zoos_own_plugins_keep_their_names(folder: Folder, index: Index) -> None:
    own = folder.good("torchvision", "net", distribution="zoo-finetune")
    taker = folder.good("torchvision", "net", "more", distribution="acme")
    registry = Registry([taker, own], Policy(), index)
    assert [(p.distribution, p.status) for p in registry.plugins()] == [
        ("acme", "conflict"),
        ("zoo-finetune", "ok"),
    ]
    assert "'torchvision'" in registry.plugins()[0].reason
    assert registry.names() == ["torchvision/net"]
    assert registry.plugin("torchvision").source == own


def test_what_switches_a_plugin_off_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_PLUGINS", "acme,other")
    monkeypatch.setenv("ZOO_NO_PLUGIN", "other, third")
    policy = load_policy()
    assert policy.why_disabled("acme") == ""
    assert "--no-plugin" in policy.why_disabled("other")
    assert "ZOO_PLUGINS" in policy.why_disabled("timm")


def test_an_incompatible_or_disabled_plugin_is_not_imported(folder: Folder, index: Index) -> None:
    code = "raise SystemExit('this plugin was imported')"
    newer = folder.plugin("newer", code, requires=("zoo-finetune>=99",))
    off = folder.plugin("off", code)
    registry = Registry([newer, off], Policy(only=frozenset({"newer"})), index)
    assert [plugin.status for plugin in registry.plugins()] == ["incompatible", "disabled"]


@pytest.mark.parametrize("name", ["raising/net", "raising/other"])
def test_a_name_of_a_broken_plugin_says_why_it_is_broken(
    folder: Folder, index: Index, name: str
) -> None:
    registry = Registry([folder.plugin("raising", "1 / 0")], Policy(), index)
    with pytest.raises(PluginError, match="'raising'") as caught:
        registry.resolve(name)
    assert "zoo plugins" in caught.value.hint


def test_a_plugin_that_breaks_after_its_catalogue_was_kept_says_so(
    folder: Folder, index: Index
) -> None:
    source = folder.good("acme", "net")
    Registry([source], Policy(), index)
    gone = PluginSource(source.name, "a_module_that_is_gone", source.distribution, source.version)
    kept = index.catalogue(source)
    index.replace(gone, [BackboneSpec.from_json(kept.rows["net"])], kept)
    registry = Registry([gone], Policy(), index)
    assert registry.spec("net").name == "acme/net"
    with pytest.raises(PluginError, match="'acme'"):
        registry.plugin("acme")


def test_sync_asks_the_library_and_keeps_the_answer(folder: Folder, index: Index) -> None:
    extra = "@zoo.hookimpl\ndef zoo_sync():\n    yield spec('new1')\n    yield spec('new2')\n"
    source = folder.good("acme", "old", extra=extra)
    registry = Registry([source], Policy(), index)
    assert registry.sync("acme") == 2
    assert registry.names() == ["acme/new1", "acme/new2"]
    assert Registry([source], Policy(), index).names() == ["acme/new1", "acme/new2"]


def test_a_catalogue_of_another_version_of_its_library_says_so_until_it_is_rebuilt(
    folder: Folder, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.registry.plugins.installed_version", {"acme-net": "2.1"}.get)
    library = "@zoo.hookimpl\ndef zoo_library():\n    return {'acme-net': '2.0'}\n"
    sync = "@zoo.hookimpl\ndef zoo_sync():\n    yield spec('new')\n"
    by_hand = Registry([folder.good("acme", "old", extra=library)], Policy(), index)
    assert by_hand.outdated("acme") == by_hand.outdated("nobody") == ""
    source = folder.good("acme", "old", extra=library + sync)
    registry = Registry([source], Policy(), index)
    reason = registry.outdated("acme")
    assert all(words in reason for words in ("acme-net 2.0", "2.1", "'zoo sync acme'"))
    with pytest.raises(NameLookupError) as caught:
        registry.resolve("acme/new")
    assert reason in caught.value.hint
    registry.sync("acme")
    assert registry.outdated("acme") == Registry([source], Policy(), index).outdated("acme") == ""
    assert registry.undo_sync("acme") == 1
    assert registry.names() == ["acme/old"]


def test_short_names_are_those_of_the_policy_and_what_plugins_feature(
    folder: Folder, index: Index
) -> None:
    featured = "zoo_featured = zoo.hookimpl(lambda: iter(['c', 'b']))"
    registry = Registry(
        [
            folder.good("acme", *map(str, range(20))),
            folder.good("beta", "a", "b", "c", extra=featured),
            folder.good("core", "b", "d", distribution="zoo-finetune"),
        ],
        Policy(aliases={"first": "acme/1", "0": "beta/a"}, runs={"c": Path("x")}),
        index,
    )
    assert dict(registry.short_names) == {
        "first": "acme/1",
        "0": "beta/a",
        "acme/0": "acme/0",
        **{str(n): f"acme/{n}" for n in range(2, 8)},
        "beta/c": "beta/c",
        "beta/b": "beta/b",
    }


def test_sync_that_fails_leaves_the_catalogue_as_it_was(folder: Folder, index: Index) -> None:
    extra = "@zoo.hookimpl\ndef zoo_sync():\n    yield spec('new')\n    1 / 0\n"
    source = folder.good("acme", "old", extra=extra)
    registry = Registry([source], Policy(), index)
    with pytest.raises(PluginError, match="zoo_sync raised ZeroDivisionError"):
        registry.sync("acme")
    assert Registry([source], Policy(), index).names() == registry.names() == ["acme/old"]


def test_sync_of_a_catalogue_written_by_hand_is_refused(folder: Folder, index: Index) -> None:
    registry = Registry([folder.good("acme", "net")], Policy(), index)
    with pytest.raises(PluginError, match=r"'acme'.*by hand"):
        registry.sync("acme")


# -- names ----------------------------------------------------------------------------------


@pytest.fixture
def sources(folder: Folder) -> list[PluginSource]:
    return [
        folder.good("acme", "net", "both", "org/model", extra=RESOLVER),
        folder.good("beta", "both", "dotted.name", "Other"),
    ]


@pytest.fixture
def registry(sources: list[PluginSource], index: Index) -> Registry:
    policy = Policy(aliases={"short": "acme/net", "tagged": "acme/net.v2", "folder": "path:x"})
    return Registry(sources, policy, index)


@pytest.mark.parametrize(
    ("name", "canonical", "tag"),
    [
        ("acme/net", "acme/net", None),
        ("net", "acme/net", None),
        ("short", "acme/net", None),
        ("short.v2", "acme/net", "v2"),
        ("tagged", "acme/net", "v2"),
        ("net.v1", "acme/net", "v1"),
        ("acme/net.v2", "acme/net", "v2"),
        ("org/model", "acme/org/model", None),
        ("acme/org/model.v1", "acme/org/model", "v1"),
        ("dotted.name", "beta/dotted.name", None),
        ("beta/dotted.name.v2", "beta/dotted.name", "v2"),
        ("acme/org/any", "acme/org/any", None),
        ("path:some/folder", "path:some/folder", None),
        ("folder", "path:x", None),
    ],
)
def test_a_name_leads_to_a_backbone(
    registry: Registry, name: str, canonical: str, tag: str | None
) -> None:
    resolved = registry.resolve(name)
    assert (resolved.spec.name, resolved.tag) == (canonical, tag)
    assert resolved.weights == (tag or "auto")


def test_a_bare_name_of_two_plugins_is_ambiguous(registry: Registry) -> None:
    with pytest.raises(AmbiguousNameError, match="acme/both, beta/both") as caught:
        registry.resolve("both")
    assert "order" in caught.value.hint
    with pytest.raises(AmbiguousNameError, match=r"acme/both\.v1, beta/both\.v1"):
        registry.resolve("both.v1")


def test_the_order_decides_and_an_alias_comes_before_it(
    sources: list[PluginSource], index: Index
) -> None:
    policy = Policy(order=("absent", "beta", "acme"))
    assert Registry(sources, policy, index).spec("both").name == "beta/both"
    policy = Policy(order=("beta",), aliases={"both": "acme/both"})
    assert Registry(sources, policy, index).spec("both").name == "acme/both"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("nett", "'nett'. Closest: net", "zoo list --all"),
        ("acme/nte", "'acme/nte'. Closest: acme/net.", "zoo list"),
        ("shrot", "Closest: short", "zoo list"),
        ("net99", "Closest: net", "'zoo list net'"),
        ("net.v9", "'net.v9'", "zoo list"),
        ("123", "'123'", "'zoo list --all'"),
        ("", "''", "'zoo list --all'"),
        ("acmee/net", "'acmee'. Did you mean 'acme'?", "acme/acmee/net"),
        ("/net", "plugin is called ''", "Plugins: acme, beta."),
        ("acme/", "'acme/'", "zoo list --all"),
        ("ftp:somewhere", "'ftp:somewhere'", "path:FOLDER"),
    ],
)
def test_an_unknown_name_lists_the_closest_ones(
    registry: Registry, name: str, message: str, hint: str
) -> None:
    with pytest.raises(NameLookupError) as caught:
        registry.resolve(name)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_failing_resolver_does_not_affect_others(folder: Folder, index: Index) -> None:
    failing = folder.good("aaa", "net", extra="@zoo.hookimpl\ndef zoo_resolve(name): 1 / 0\n")
    working = folder.good("acme", extra=RESOLVER)
    registry = Registry([failing, working], Policy(), index)
    assert registry.spec("path:x").feature_dim == 9
    registry = Registry([failing], Policy(), index)
    with pytest.raises(PluginError, match="zoo_resolve raised ZeroDivisionError"):
        registry.spec("path:x")
    with pytest.raises(PluginError, match="zoo_resolve raised ZeroDivisionError"):
        registry.spec("aaa/absent")


def test_a_resolver_must_return_a_spec(folder: Folder, index: Index) -> None:
    extra = "@zoo.hookimpl\ndef zoo_resolve(name): return 'resnet'\n"
    registry = Registry([folder.good("acme", extra=extra)], Policy(), index)
    with pytest.raises(PluginError, match="zoo_resolve returned str"):
        registry.spec("acme/x")


def test_pinned_hashes_replace_the_published_ones(
    sources: list[PluginSource], index: Index
) -> None:
    pins = {"acme/net": "a" * 64, "acme/org/model.v2": "b" * 64}
    registry = Registry(sources, Policy(pins=pins), index)
    assert [w.sha256 for w in registry.spec("net").weights] == ["a" * 64, ""]
    assert [w.sha256 for w in registry.spec("org/model").weights] == ["", "b" * 64]
    assert [w.sha256 for w in registry.spec("Other").weights] == ["", ""]


def test_a_published_run_is_a_backbone_with_its_own_weights(
    registry: Registry, sources: list[PluginSource], index: Index, tmp_path: Path
) -> None:
    run = made_run(tmp_path / "run", registry.spec("acme/net"), sha256="c" * 64)
    policy = Policy(runs={"plants": run}, pins={"acme/net": "a" * 64})
    resolved = Registry(sources, policy, index).resolve("plants")
    assert resolved.run is not None
    assert (resolved.run.name, resolved.run.folder) == ("plants", run)
    spec = resolved.spec
    assert (spec.name, resolved.weights) == ("acme/net", "auto")
    (weights,) = spec.weights
    assert weights.default
    assert weights.uri == str(run / "model.safetensors")
    assert weights.sha256 == "c" * 64, "the published weights' pin is not the run's"
    assert weights.classes == 2


@pytest.mark.parametrize("changes", [{"classes": 3}, {"spec": {"name": "x"}}, {"spec": None}])
def test_a_published_run_that_cannot_be_read_is_named(
    registry: Registry,
    sources: list[PluginSource],
    index: Index,
    tmp_path: Path,
    changes: dict[str, object],
) -> None:
    run = made_run(tmp_path / "run", registry.spec("acme/net"), **changes)
    with pytest.raises(RunError, match="'plants'") as caught:
        Registry(sources, Policy(runs={"plants": run}), index).spec("plants")
    assert "zoo add --remove plants" in caught.value.hint


def test_published_runs_match_by_their_names_and_by_those_of_their_backbones(
    registry: Registry, sources: list[PluginSource], index: Index, tmp_path: Path
) -> None:
    run = made_run(tmp_path / "run", registry.spec("acme/net"))
    runs = {"plants": run, "gone": tmp_path / "gone"}
    registry = Registry(sources, Policy(runs=runs), index)
    assert [name for name, _ in registry.runs()] == ["plants", "gone"]
    assert [name for name, _ in registry.runs("PLANT")] == ["plants"]
    assert [name for name, _ in registry.runs("acme/n*")] == ["plants"]
    assert not list(registry.runs("animals"))
    ((_, error),) = registry.runs("gone")
    assert isinstance(error, RunError)
    assert "does not exist" in error.message


def test_the_owner_of_a_name_is_reported(registry: Registry) -> None:
    assert registry.owner("acme") == "the plugin 'acme'"
    assert (
        registry.owner("short") == registry.owner("short.v2")[:-3] == "the short name of acme/net"
    )
    assert registry.owner("dotted.name") == "the backbone beta/dotted.name"
    assert registry.owner("both.v1") == "the backbone acme/both.v1"
    assert registry.owner("plants") == ""


def test_a_run_folder_is_not_a_name_but_can_get_one(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made_run(Path("runs/net-1"), registry.spec("acme/net"))
    with pytest.raises(NameLookupError, match="'runs/net-1'") as caught:
        registry.resolve("runs/net-1")
    assert "zoo add runs/net-1 --name NAME" in caught.value.hint


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("net", ["acme/net"]),
        ("n?t", ["acme/net"]),
        ("BOTH", ["acme/both", "beta/both"]),
        ("beta/*", ["beta/Other", "beta/both", "beta/dotted.name"]),
        ("other", ["beta/Other"]),
        ("short", ["acme/net"]),
        ("[no]*", ["acme/net", "acme/org/model", "beta/Other"]),
        ("xyz", []),
    ],
)
def test_patterns_match_names_of_every_kind(
    registry: Registry, pattern: str, names: list[str]
) -> None:
    assert registry.names(pattern) == names
    assert [name for name, _ in registry.rows(pattern)] == names


def test_rows_are_the_specs_as_json(registry: Registry) -> None:
    rows = dict(registry.rows())
    assert list(rows) == registry.names()
    for name, row in rows.items():
        assert BackboneSpec.from_json({**row, "name": name}) == registry.spec(name)
        assert registry.row(name) == row
    assert registry.row("acme/absent") is None
    assert registry.row("absent/net") is None


def test_unknown_weights_list_the_available_ones() -> None:
    with pytest.raises(NameLookupError, match="'V9'") as error:
        Registry.discover().resolve("torchvision/resnet18.V9")
    assert "IMAGENET1K_V1" in error.value.hint


def test_a_format_of_data_has_one_reader(folder: Folder, index: Index) -> None:
    reads = """
    @zoo.hookimpl
    def zoo_readers():
        yield zoo.ReaderSpec(name="own", read="acme:read", suffixes=("{suffix}",))
    """
    sources = [
        folder.good("first", "net", extra=reads.format(suffix=".odd")),
        folder.good("later", "net", extra=reads.format(suffix=".odd")),
        folder.good("takes_csv", "net", extra=reads.format(suffix=".csv")),
    ]
    try:
        registry = Registry(sources, Policy(), index)
        statuses = {plugin.name: (plugin.status, plugin.reason) for plugin in registry.plugins()}
        assert statuses["first"] == ("ok", "")
        assert statuses["later"][0] == statuses["takes_csv"][0] == "conflict"
        assert "the plugin 'first' reads .odd too" in statuses["later"][1]
        assert "zoo itself reads .csv too" in statuses["takes_csv"][1]
        assert registered_readers()[".odd"].plugin == "first"
        Registry(sources, Policy(disabled=frozenset({"first"})), index)
        assert registered_readers()[".odd"].plugin == "later"
    finally:
        for source in sources:
            withdraw_readers(source.name)
    assert ".odd" not in registered_readers()
