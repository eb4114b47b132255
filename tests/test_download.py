"""The download stage with the hub's real client, against a hub on loopback: what is fetched, resumed, refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.utils import WeakFileLock

from critical_weights.hub import meter as hub_meter
from critical_weights.hub.file import keep_if_whole
from critical_weights.hub.listing import HubFile
from critical_weights.model.load import load_model
from hub_client import SCRIPTS, Fetched, HubClient, clean_environment
from hub_server import Answer, HubServer, serve_hub
from tiny_models import save_tiny_folder

COMMIT, LATER = "a1" * 20, "b2" * 20
NEEDED = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
TOKEN = "hf_planted0Token0That0Nobody0May0Read"


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with serve_hub() as server:
        yield server


@pytest.fixture(scope="module")
def client(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    made = HubClient(hub.endpoint, tmp_path_factory.mktemp("client"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_folder(tmp_path_factory.mktemp("tiny") / "m")


@pytest.fixture
def repo(hub: HubServer, tiny: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A repository of its own for each test, with a good deal more in it than a model needs; its own bytes too."""
    name = f"owner/m{abs(hash(request.node.name))}"
    folder = Path(shutil.copytree(tiny, tmp_path / "repo"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"name_of_the_test": name}))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(_other_weights(weights, name))
    for other in ("README.md", "pytorch_model.bin", "flax_model.msgpack", "original/consolidated.00.pth", "run.py"):
        (folder / other).parent.mkdir(exist_ok=True)
        (folder / other).write_bytes(b"not needed")
    hub.repos[name] = folder
    hub.requests.clear()
    yield name
    for changed in (hub.mistakes, hub.cut, hub.sizes, hub.hashes, hub.gated, hub.tokens):
        changed.clear()
    hub.branches, hub.ignore_ranges, hub.lengthless = {"main": COMMIT}, False, False


def _other_weights(weights: bytes, name: str) -> bytes:
    """Change the last bytes, those of some weight, so that no two repositories share a file of the cache."""
    mark = name.encode()[-8:]
    return weights[: -len(mark)] + bytes(min(byte, 60) for byte in mark)


def _parts(client: HubClient, repo: str) -> list[Path]:
    return list((client.cache(repo) / "blobs").glob("*.incomplete"))


def _same_as_served(hub: HubServer, fetched: Fetched, repo: str) -> bool:
    folder = Path(fetched.record["path"])
    names = {path.name for path in folder.iterdir()}
    return names == NEEDED and all((folder / n).read_bytes() == (hub.repos[repo] / n).read_bytes() for n in names)


# What is fetched


def test_only_what_is_needed_is_fetched_at_the_commit_that_the_lock_keeps(
    hub: HubServer, client: HubClient, repo: str
) -> None:
    fetched = client.fetch(repo, env={"HF_TOKEN": TOKEN})
    assert fetched.status == 0, fetched.output
    assert _same_as_served(hub, fetched, repo)
    assert fetched.record | {"path": ""} == {
        "model": "m", "source": "hub", "repo": repo, "revision": "main", "commit": COMMIT, "checkpoint": None,
        "path": "",
    }  # fmt: skip
    lock = fetched.lock
    assert (lock["repo"], lock["revision"], lock["commit"], lock["complete"]) == (repo, "main", COMMIT, True)
    assert {file["name"] for file in lock["files"]} == NEEDED
    assert (lock["licence"], lock["gated"]) == ("apache-2.0", None)
    assert f"'main' of {repo} is a name that can move. It is pinned to {COMMIT}" in fetched.output
    assert "open to everybody; its card names the licence apache-2.0" in fetched.output
    storage = hub.asked(where="storage")
    assert [r.path.split("?")[0].rsplit("/", 1)[-1] for r in storage] == ["model.safetensors"]
    assert not any(r.authorized for r in storage), "a token goes to the hub alone"
    assert all(r.authorized for r in hub.asked(where="hub"))


def test_a_second_run_asks_nothing_and_stays_at_its_commit(hub: HubServer, client: HubClient, repo: str) -> None:
    first = client.fetch(repo)
    hub.requests.clear()
    hub.branches["main"] = LATER
    second = client.fetch(repo)
    assert second.record == first.record
    assert hub.requests == []
    assert f"pinned to {COMMIT}" in second.output
    lock = client.root / "resources" / f"{repo.split('/')[-1]}.lock.json"
    lock.unlink()
    assert client.fetch(repo).record["commit"] == LATER, "without its lock a branch is followed"


def test_another_revision_in_the_config_goes_before_the_lock(hub: HubServer, client: HubClient, repo: str) -> None:
    hub.branches["v2"] = LATER
    assert client.fetch(repo).record["commit"] == COMMIT
    moved = client.fetch(repo, revision="v2")
    assert (moved.record["commit"], moved.lock["revision"]) == (LATER, "v2")
    exact = client.fetch(repo, revision=COMMIT)
    assert exact.record["commit"] == COMMIT
    assert "warning" not in exact.output


def test_several_files_of_weights_are_those_of_the_index(
    hub: HubServer, client: HubClient, repo: str, tmp_path: Path
) -> None:
    folder = save_tiny_folder(tmp_path / "many", max_shard_size="20KB", seed=1)
    (folder / "model-00009-of-00009.safetensors").write_bytes(b"of another layout")
    hub.repos[repo] = folder
    fetched = client.fetch(repo)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shards = set(index["weight_map"].values())
    assert len(shards) > 2
    names = {path.name for path in Path(fetched.record["path"]).iterdir()}
    assert names == (NEEDED - {"model.safetensors"}) | shards | {"model.safetensors.index.json"}


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": ["x"]}', '{"weight_map": {"t": "../../x"}}', "{"])
def test_an_index_that_names_no_files_is_told(
    hub: HubServer, client: HubClient, repo: str, tmp_path: Path, content: str
) -> None:
    folder = save_tiny_folder(tmp_path / "many", max_shard_size="20KB", seed=1)
    (folder / "model.safetensors.index.json").write_text(content)
    hub.repos[repo] = folder
    refused = client.fetch(repo)
    assert refused.status == 1
    _one_line(refused, "")
    assert "model.safetensors.index.json" in refused.error
    assert hub.asked(where="storage") == []


# What breaks off goes on


@pytest.mark.parametrize("lengthless", [False, True])
def test_a_cut_connection_goes_on_where_it_broke(
    hub: HubServer, client: HubClient, repo: str, lengthless: bool
) -> None:
    hub.cut["model.safetensors"], hub.lengthless = 20_000, lengthless
    fetched = client.fetch(repo)
    assert fetched.status == 0, fetched.output
    assert [r.range for r in hub.asked(where="storage")] == [None, "bytes=20000-"]
    assert "the connection broke: try 2 of 5 in 1.0 s" in fetched.output
    assert "going on after the 0.02 MB that are there" in fetched.output
    assert _same_as_served(hub, fetched, repo)


@pytest.mark.parametrize("lengthless", [False, True])
def test_what_a_broken_run_left_is_kept_for_the_next(
    hub: HubServer, client: HubClient, repo: str, lengthless: bool
) -> None:
    hub.cut["model.safetensors"], hub.lengthless = 20_000, lengthless
    answers = iter([None, *[Answer(503, {"Retry-After": "0"})] * 5])
    hub.mistake, mistake = lambda key: next(answers, None) if key.startswith("storage/") else None, hub.mistake
    try:
        broken = client.fetch(repo)
    finally:
        hub.mistake = mistake
    assert broken.status == 1
    assert (
        "the hub has trouble of its own (503). Try later. Run it again: what is there already is kept" in broken.error
    )
    assert broken.record is None
    assert broken.lock["complete"] is False
    assert [part.stat().st_size for part in _parts(client, repo)] == [20_000]
    hub.requests.clear()
    hub.branches |= {"main": LATER, "before": COMMIT}
    fetched = client.fetch(repo)
    assert [r.range for r in hub.asked(where="storage")] == ["bytes=20000-"]
    assert fetched.record["commit"] == COMMIT, "the commit that the broken run began"
    assert len(hub.asked(".json")) == 0, "files that were fetched are not fetched again"
    assert _same_as_served(hub, fetched, repo)
    assert _parts(client, repo) == []


def test_an_interrupted_run_keeps_its_part_too(hub: HubServer, client: HubClient, repo: str) -> None:
    hub.hold["model.safetensors"] = 20_000
    record = client.root / "resources" / f"{repo.split('/')[-1]}.json"
    environment = clean_environment(hub.endpoint, client.root / "home", HF_HUB_DOWNLOAD_TIMEOUT="2")
    process = subprocess.Popen(_command(repo, record), env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any(part.stat().st_size == 20_000 for part in _parts(client, repo)) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    assert "interrupted" in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert not record.exists()
    hub.requests.clear()
    fetched = client.fetch(repo)
    assert [r.range for r in hub.asked(where="storage")] == ["bytes=20000-"]
    assert _same_as_served(hub, fetched, repo)


def test_progress_tells_how_far_and_how_long(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    times = iter([100.0, 101.0, 105.0, 106.0, 110.0, 110.0])
    monkeypatch.setattr(hub_meter.time, "monotonic", lambda: next(times))
    meter = hub_meter.Meter("owner/m", 10_000_000_000, 2_000_000_000)
    with caplog.at_level("INFO", "critical_weights"):
        for _ in range(4):
            meter.add(500_000_000)
        meter.end()
    assert caplog.messages == [
        "owner/m: 3.00 GB of 10.00 GB, 200.00 MB a second, about 35 s left",
        "owner/m: 4.00 GB of 10.00 GB, 200.00 MB a second, about 30 s left",
        "owner/m: 2.00 GB fetched in 10 s",
    ]


def test_a_storage_that_knows_no_ranges_sends_all_again(hub: HubServer, client: HubClient, repo: str) -> None:
    hub.cut["model.safetensors"], hub.ignore_ranges = 20_000, True
    assert _same_as_served(hub, client.fetch(repo), repo)
    assert [r.range for r in hub.asked(where="storage")] == [None, "bytes=20000-"]


def test_a_part_of_something_else_is_thrown_away(hub: HubServer, client: HubClient, repo: str) -> None:
    client.fetch(repo)
    weights = Path(client.fetch(repo).record["path"]) / "model.safetensors"
    blob = weights.resolve()
    size = blob.stat().st_size
    weights.unlink()
    for wrong in (b"x" * 1000, b"x" * size, b"x" * (size + 1)):
        blob.unlink(missing_ok=True)
        weights.unlink(missing_ok=True)
        blob.with_name(f"{blob.name}.incomplete").write_bytes(wrong)
        assert _same_as_served(hub, client.fetch(repo), repo)


@pytest.mark.parametrize("status, key", [(429, "listing"), (429, "storage/model.safetensors"), (500, "config.json")])
def test_a_hub_that_is_busy_for_a_moment_is_asked_again(
    hub: HubServer, client: HubClient, repo: str, status: int, key: str
) -> None:
    hub.mistakes[key] = Answer(status, {"Retry-After": "1"}, times=2)
    fetched = client.fetch(repo)
    assert fetched.status == 0, fetched.output
    assert f"the hub answers {status}: try 3 of 5 in 1.0 s" in fetched.output
    assert _same_as_served(hub, fetched, repo)


# Several at once


def test_two_jobs_over_one_repository_leave_each_others_files(
    hub: HubServer, client: HubClient, repo: str, tmp_path: Path
) -> None:
    hub.repos[repo] = folder = save_tiny_folder(tmp_path / "many", max_shard_size="5KB", seed=1)
    shards = {path.name for path in folder.glob("*.safetensors")}
    assert len(shards) > 4, "more than are fetched at once"
    asked, go_on, mistake = threading.Semaphore(0), threading.Event(), hub.mistake
    first = iter(range(4))

    def hold_the_first_job(key: str) -> Answer | None:
        if key in shards and next(first, None) is not None:
            asked.release()
            go_on.wait(60)
        return mistake(key)

    hub.mistake = hold_the_first_job
    environment = clean_environment(hub.endpoint, client.root / "home", HF_HUB_DOWNLOAD_TIMEOUT="60")
    command = _command(repo, tmp_path / "slow.json")
    slow = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert all(asked.acquire(timeout=60) for _ in range(4)), "it knows by now which files the cache lacks"
        fast = client.fetch(repo)
    finally:
        go_on.set()
        output = slow.communicate(timeout=60)[1]
        hub.mistake = mistake
    assert (fast.status, slow.returncode) == (0, 0), fast.output + output
    assert json.loads((tmp_path / "slow.json").read_text()) == fast.record
    fetched = [r.path.split("?")[0].rsplit("/", 1)[-1] for r in hub.asked(where="storage")]
    assert sorted(fetched) == sorted(shards), "each of them once, by one job"
    assert all((Path(fast.record["path"]) / name).read_bytes() == (folder / name).read_bytes() for name in shards)


def test_a_damaged_file_is_removed_under_its_lock_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    content, name = b"all of it", "models--owner--m"
    file = HubFile("model.safetensors", len(content), sha256(content).hexdigest())
    blob, link = tmp_path / name / "blobs" / file.sha256, tmp_path / name / "snapshots" / COMMIT / file.name
    lock = tmp_path / ".locks" / name / f"{file.sha256}.lock"
    for path in (blob, link, lock):
        path.parent.mkdir(parents=True)
    blob.write_bytes(b"damaged")
    link.symlink_to(blob)
    with ThreadPoolExecutor(1) as pool:
        with WeakFileLock(lock):  # as another job has it that fetches the file
            kept = pool.submit(keep_if_whole, "owner/m", COMMIT, file)
            time.sleep(0.5)
            assert link.is_file()
            blob.write_bytes(content)
        assert kept.result(timeout=30) == link
    assert link.read_bytes() == content
    blob.write_bytes(b"damaged")
    assert keep_if_whole("owner/m", COMMIT, file) is None
    assert not blob.exists()
    assert not link.is_symlink()


# Checked


def test_a_wrong_hash_is_refused_and_nothing_of_it_kept(hub: HubServer, client: HubClient, repo: str) -> None:
    hub.hashes["model.safetensors"] = "0" * 64
    fetched = client.fetch(repo)
    assert fetched.status == 1
    assert f"model.safetensors of {repo} did not come as the hub describes it" in fetched.error
    blobs = [path.name for path in (client.cache(repo) / "blobs").iterdir()]
    assert not any(name.startswith("0000") for name in blobs)
    assert fetched.lock["complete"] is False


def test_a_whole_file_of_another_size_than_told_is_no_broken_connection(
    hub: HubServer, client: HubClient, repo: str
) -> None:
    hub.sizes["model.safetensors"] = 100_000
    _one_line(client.fetch(repo), f"model.safetensors of {repo} did not come as the hub describes it")
    assert len(hub.asked(where="storage")) == 1
    assert _parts(client, repo) == []


def test_damage_in_the_cache_is_found_before_a_lock_is_complete(hub: HubServer, client: HubClient, repo: str) -> None:
    first = client.fetch(repo)
    blob = (Path(first.record["path"]) / "model.safetensors").resolve()
    damaged = bytearray(blob.read_bytes())
    damaged[-5] ^= 1
    blob.write_bytes(damaged)
    (client.root / "resources" / f"{repo.split('/')[-1]}.lock.json").unlink()
    again = client.fetch(repo)
    assert "model.safetensors in the cache is damaged: it is fetched again" in again.output
    assert _same_as_served(hub, again, repo)


def test_a_file_cut_short_in_the_cache_is_fetched_again(hub: HubServer, client: HubClient, repo: str) -> None:
    first = client.fetch(repo)
    for name in ("model.safetensors", "config.json"):
        link = Path(first.record["path"]) / name
        whole = link.read_bytes()
        link.resolve().write_bytes(whole[:-1])
        assert client.fetch(repo).record == first.record
        assert link.read_bytes() == whole
        link.resolve().write_bytes(whole[:-1])  # the bytes alone, as a run leaves them that ends before it links
        link.unlink()
        assert client.fetch(repo).record == first.record
        assert link.read_bytes() == whole
        link.unlink()  # where a disk knows no links, a copy stands for it
        link.write_bytes(whole[:-1])
        assert client.fetch(repo).record == first.record
        assert link.read_bytes() == whole
    assert _same_as_served(hub, first, repo)


def test_a_file_that_left_the_cache_is_fetched_again(hub: HubServer, client: HubClient, repo: str) -> None:
    first = client.fetch(repo)
    weights = Path(first.record["path"]) / "model.safetensors"
    weights.resolve().unlink()
    assert client.fetch(repo).record == first.record
    assert _same_as_served(hub, first, repo)


# Refused, each in its own line: tests/hub_cases.py has all of them; here is what more they do


def _one_line(fetched: Fetched, words: str) -> None:
    assert fetched.status == 1, fetched.output
    assert words in fetched.error
    assert fetched.record is None
    assert "Traceback" not in fetched.output
    assert TOKEN not in fetched.output
    assert "secret-of-the-storage" not in fetched.output


LOGGED_IN = {"HF_TOKEN": TOKEN}


def test_a_gated_repository(hub: HubServer, client: HubClient, repo: str) -> None:
    hub.gated.add(repo)
    _one_line(
        client.fetch(repo), f"{repo} is gated, and nobody is logged in. Accept its terms on its page, then log in"
    )
    words = f"{repo} is gated, and the account that is logged in has no access to it. Ask for access on its page"
    _one_line(client.fetch(repo, env=LOGGED_IN), words)
    hub.tokens.add(TOKEN)
    granted = client.fetch(repo, env=LOGGED_IN)
    assert granted.status == 0
    assert granted.lock["gated"] == "manual"
    assert "asks for access on the hub" in granted.output


@pytest.mark.parametrize(
    "key, answer, words",
    [
        ("listing", Answer(401, {"X-Error-Message": "Invalid credentials in Authorization header"}),
         "the hub does not accept the token. It may have run out: log in with 'hf auth login', or set HF_TOKEN"),
        ("listing", Answer(403), "the hub forbids access to owner/"),
        ("listing", Answer(403, {"X-Error-Message": "Access to this resource is disabled."}),
         "the hub has switched owner/"),
        ("listing", Answer(418), "(418). Check the name and the revision"),
        ("listing", Answer(429, {"Retry-After": "0"}),
         "the hub takes no more requests for now (429). Wait some minutes"),
        ("listing", Answer(429, {"Retry-After": "3600"}), "the hub takes no more requests for now (429)"),
        ("listing", Answer(500, {"Retry-After": "0"}), "the hub has trouble of its own (500). Try later"),
        ("model.safetensors", Answer(404, {"X-Error-Code": "EntryNotFound"}), "lists a file of owner/"),
        ("storage/model.safetensors", Answer(403), "the hub forbids access to owner/"),
        ("storage/model.safetensors", Answer(502, {"Retry-After": "0"}), "the hub has trouble of its own (502)"),
    ],
)  # fmt: skip
def test_what_the_hub_refuses(
    hub: HubServer, client: HubClient, repo: str, key: str, answer: Answer, words: str
) -> None:
    hub.mistakes[key] = Answer(answer.status, answer.headers)
    _one_line(client.fetch(repo, env=LOGGED_IN), words)
    slow = answer.headers.get("Retry-After") == "3600"
    passes = answer.status in (429, 500, 502) and not slow
    assert len(hub.asked(key) if key != "listing" else hub.asked("blobs=true")) <= (5 if passes else 1)


def test_a_token_of_impossible_characters_is_not_quoted(client: HubClient, repo: str) -> None:
    for wrong in "\x0bé":
        fetched = client.fetch(repo, env={"HF_TOKEN": f"{TOKEN}{wrong}x"})
        _one_line(fetched, "the token holds characters that no token has. Copy it again")


def test_a_repository_without_a_model(hub: HubServer, client: HubClient, repo: str) -> None:
    folder = hub.repos[repo]
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    (folder / "pytorch_model.bin").unlink()
    words = f"{repo} at main has no model.safetensors, only consolidated.safetensors, flax_model.msgpack, original/"
    _one_line(client.fetch(repo), words)
    (folder / "config.json").unlink()
    _one_line(client.fetch(repo), f"{repo} at main has no config.json. Name a repository in transformers' own format")
    assert hub.asked(where="storage") == []


def test_a_model_that_needs_code_of_its_own(hub: HubServer, client: HubClient, repo: str) -> None:
    config = hub.repos[repo] / "config.json"
    own = {"auto_map": {"AutoConfig": "other--configuration_x.XConfig", "AutoModelForCausalLM": "modeling_x.X"}}
    settings = json.loads(config.read_text()) | own
    config.write_text(json.dumps(settings | {"model_type": "model_of_nobody"}))
    fetched = client.fetch(repo)
    _one_line(
        fetched, f"{repo} needs code of its own (configuration_x.py, modeling_x.py), and no such code is run here"
    )
    assert "transformers itself knows no model type 'model_of_nobody'" in fetched.error
    assert hub.asked(where="storage") == [], "nothing large is fetched for it"
    config.write_text(json.dumps(settings))
    assert client.fetch(repo).status == 0, "code beside a type that transformers knows is not needed"


# Pickles


def _pickled(folder: Path, source: Path, *, files: int = 1) -> dict[str, torch.Tensor]:
    """Write a model folder whose weights are pickles, two names sharing one tensor's memory."""
    from safetensors.torch import load_file

    shutil.copytree(source, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weights["lm_head.weight"] = weights["transformer.wte.weight"]
    names = (
        [f"pytorch_model-0000{i + 1}-of-0000{files}.bin" for i in range(files)] if files > 1 else ["pytorch_model.bin"]
    )
    parts: list[dict[str, torch.Tensor]] = [{} for _ in names]
    for i, (key, value) in enumerate(weights.items()):
        parts[i % files][key] = value
    for name, part in zip(names, parts, strict=True):
        torch.save(part, folder / name, _use_new_zipfile_serialization=files > 1)
    if files > 1:
        where = {key: name for name, part in zip(names, parts, strict=True) for key in part}
        index = {"metadata": {"total_size": 1}, "weight_map": where}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return weights


@pytest.mark.parametrize("files", [1, 3])
def test_pickles_are_refused_and_converted_on_request(
    hub: HubServer, client: HubClient, repo: str, tmp_path: Path, files: int
) -> None:
    source = save_tiny_folder(tmp_path / "gpt2", "gpt2", seed=files)
    _pickled(tmp_path / "pickled", source, files=files)
    hub.repos[repo] = tmp_path / "pickled"
    refused = client.fetch(repo)
    _one_line(refused, f"{repo} at main holds no safetensors, only pickles, which can run code when they are read. Set")
    assert "'convert: true'" in refused.error
    assert hub.asked(where="storage") == []
    converted = client.fetch(repo, convert=True)
    assert converted.status == 0, converted.output
    folder = Path(converted.record["path"])
    assert folder == client.root / "resources" / "m" or folder.parent == client.root / "resources"
    assert not list(folder.glob("*.bin"))
    mine = load_model(converted.record, torch.float32, torch.device("cpu")).state_dict()
    theirs = load_model({"model": "m", "path": str(source)}, torch.float32, torch.device("cpu")).state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    hub.requests.clear()
    shutil.rmtree(client.cache(repo))
    again = client.fetch(repo, convert=True)
    assert again.record == converted.record
    assert hub.requests == [], "what was converted needs neither the pickles nor the hub"


def test_a_pickle_that_would_run_code_is_not_read(hub: HubServer, client: HubClient, repo: str, tmp_path: Path) -> None:
    import pickle

    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "attacked"),)

    folder = hub.repos[repo]
    (folder / "model.safetensors").unlink()
    for content in (pickle.dumps({"a": Attack()}), pickle.dumps([1, 2]), b"rubbish", b"PK\3\4 and no more"):
        (folder / "pytorch_model.bin").write_bytes(content)
        hub.branches["main"] = f"{hash(content) & (1 << 64) - 1:040x}"
        fetched = client.fetch(repo, convert=True, revision="main")
        assert fetched.status == 1, fetched.output
        assert "pytorch_model.bin of" in fetched.error
        (client.root / "resources" / f"{repo.split('/')[-1]}.lock.json").unlink()
    assert not (tmp_path / "attacked").exists()


# Without a network


def _command(repo: str, record: Path) -> list[str]:
    script = str(SCRIPTS / "fetch_model.py")
    return [
        sys.executable,
        script,
        "--model=m",
        "--source=hub",
        f"--repo={repo}",
        "--revision=main",
        f"--output={record}",
    ]


def _alone(client: HubClient, repo: str, endpoint: str, record: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(endpoint, client.root / "home", **env)
    return subprocess.run(_command(repo, record), env=environment, capture_output=True, text=True, check=False)


def test_offline_the_lock_or_the_cache_alone_suffices(
    hub: HubServer, client: HubClient, repo: str, tmp_path: Path
) -> None:
    first = client.fetch(repo)
    record = client.root / "resources" / f"{repo.split('/')[-1]}.json"
    again = _alone(client, repo, hub.endpoint, record, HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    assert json.loads(record.read_text()) == first.record
    # No lock, but another program has asked for the branch: the cache knows its commit.
    refs = client.cache(repo) / "refs"
    refs.mkdir(exist_ok=True)
    (refs / "main").write_text(COMMIT)
    fresh = _alone(client, repo, hub.endpoint, tmp_path / "new.json", HF_HUB_OFFLINE="1")
    assert fresh.returncode == 0, fresh.stderr
    assert json.loads((tmp_path / "new.json").read_text()) == first.record
    assert "the hub cannot be asked: taking" in fresh.stderr
    lock = json.loads((tmp_path / "new.lock.json").read_text())
    assert sorted(lock["files"], key=str) == sorted(first.lock["files"], key=str), "the cache knows sizes and hashes"
    (Path(first.record["path"]) / "model.safetensors").unlink()
    lacking = _alone(client, repo, hub.endpoint, tmp_path / "lacking.json", HF_HUB_OFFLINE="1")
    assert lacking.returncode == 1
    assert f"{repo} at main is not in the hub's cache on this machine, and offline mode is on. Unset" in lacking.stderr


@pytest.mark.parametrize("left", [set(), {"tokenizer_config.json"}])
def test_a_cache_without_the_tokenizer_is_not_locked_offline(
    hub: HubServer, client: HubClient, repo: str, tmp_path: Path, left: set[str]
) -> None:
    first = client.fetch(repo)
    for name in NEEDED - {"config.json", "model.safetensors"} - left:  # as AutoModel.from_pretrained alone leaves it
        (Path(first.record["path"]) / name).unlink()
    refs = client.cache(repo) / "refs"
    refs.mkdir(exist_ok=True)
    (refs / "main").write_text(COMMIT)
    for endpoint, env in ((hub.endpoint, {"HF_HUB_OFFLINE": "1"}), ("http://127.0.0.1:9", {})):
        refused = _alone(client, repo, endpoint, tmp_path / "new.json", **env)
        assert refused.returncode == 1
        told = f"{repo} at main without the vocabulary of its tokenizer, such as tokenizer.json, and the hub cannot be"
        assert told in refused.stderr
        assert "Traceback" not in refused.stderr
        assert not (tmp_path / "new.lock.json").exists()
    online = _alone(client, repo, hub.endpoint, tmp_path / "new.json")
    assert online.returncode == 0, online.stderr
    assert {file["name"] for file in json.loads((tmp_path / "new.lock.json").read_text())["files"]} == NEEDED
    assert {path.name for path in Path(first.record["path"]).iterdir()} == NEEDED
