"""What can go wrong between a user and the hub: each case made on loopback with the real client, and the line it gets.

``python tests/hub_cases.py`` runs them all and prints the table of docs/models.md; a test compares the two.
"""

from __future__ import annotations

import json
import pickle
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub_client import Fetched, HubClient
from hub_server import LARGE, Answer, HubServer, serve_hub
from tiny_models import save_tiny_folder

REPO, TOKEN = "owner/model", "hf_planted0Token0That0Nobody0May0Read"
WEIGHTS = "model.safetensors"
COMMIT = "a1" * 20
LOGGED_IN = {"HF_TOKEN": TOKEN}
Prepare = Callable[[HubServer, Path], Any]


@dataclass(frozen=True)
class Case:
    """One thing that goes wrong.

    Attributes:
        title: what happens, for people.
        prepare: makes it happen, given the hub and the repository's folder.
        told: a part of the line that tells it; of a case that ends well, of a line of the log.
        fetches: whether a part of the weights may be asked for before it is noticed.
        ends_well: whether the model is there in the end.
        ask: what is asked for, where it is not the repository's main branch: ``repo, revision, convert, env``.
        before: prepares the hub for a first try, which may fail.
        surroundings: of the client from its start: ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``.

    """

    title: str
    prepare: Prepare
    told: str
    fetches: bool = False
    ends_well: bool = False
    ask: Mapping[str, Any] = field(default_factory=dict)
    before: Prepare | None = None
    surroundings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Told:
    """How a case ended.

    Attributes:
        case: which one.
        fetched: how the client's process ended.
        line: the line that the user gets, without what differs between machines.
        ranges: the ranges of weights that the storage was asked for in the last try (None: from the first byte).
        sent: bytes of weights that the storage sent in all tries.
        size: of all weights.

    """

    case: Case
    fetched: Fetched
    line: str
    ranges: tuple[str | None, ...]
    sent: int
    size: int


def answers(key: str, status: int, times: int = -1, **headers: str) -> Prepare:
    """Let the hub answer so."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda hub, _: hub.mistakes.update({key: Answer(status, named, times)})


def config(**changed: Any) -> Prepare:
    """Write other entries into the repository's config.json."""

    def change(_: HubServer, folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changed))

    return change


def quantised(**settings: Any) -> Prepare:
    """Let the config say that the weights are quantised."""
    return config(quantization_config=settings)


def quantised_beside(file: str, **settings: Any) -> Prepare:
    """Let a file of its own say so, as earlier quantisers do."""
    return lambda _, folder: (folder / file).write_text(json.dumps(settings))


def other_format(_: HubServer, folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "consolidated.safetensors")


def no_config(_: HubServer, folder: Path) -> None:
    (folder / "config.json").unlink()


def pickled(_: HubServer, folder: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return eval, ("1 + 1",)

    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Attack()}, protocol=4))


def index_too_long(_: HubServer, folder: Path) -> None:
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    (folder / WEIGHTS).rename(folder / shards[0])
    weights = dict(zip("ab", shards, strict=True))
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": weights}))


def breaks_for_good(hub: HubServer, _: Path) -> None:
    """Cut the connection once, then fail: five times each for the file's address and its content."""
    hub.cut[WEIGHTS] = 20_000
    taken = hub.mistake
    first = iter([None])

    def mistake(key: str) -> Answer | None:
        return next(first, Answer(503, {"Retry-After": "0"})) if key == f"storage/{WEIGHTS}" else taken(key)

    hub.mistake = mistake


def all_well(hub: HubServer, _: Path) -> None:
    vars(hub).pop("mistake", None)


def gated(hub: HubServer, _: Path) -> None:
    hub.gated.add(REPO)


OWN_CODE = config(model_type="model_of_nobody", auto_map={"AutoConfig": "configuration_x.XConfig"})
CASES = (
    Case("Gated, nobody logged in", gated, "is gated, and nobody is logged in"),
    Case("Gated, access not granted", gated, "has no access to it", ask={"env": LOGGED_IN}),
    Case("No such repository, nobody logged in", all_well, "that everybody may see", ask={"repo": "owner/none"}),
    Case("No such repository, logged in", all_well, "which is logged in may see",
         ask={"repo": "owner/none", "env": LOGGED_IN}),
    Case("No id of a repository", all_well, "that is no id of a repository", ask={"repo": "a b"}),
    Case("No such revision", all_well, "has no revision 'v9'", ask={"revision": "v9"}),
    Case("A token that has run out",
         answers("listing", 401, X_Error_Message="Invalid credentials in Authorization header"),
         "does not accept the token", ask={"env": LOGGED_IN}),
    Case("A token with characters that none has", all_well, "characters that no token has",
         ask={"env": {"HF_TOKEN": f"{TOKEN}é"}}),
    Case("Forbidden (403)", answers("listing", 403), "forbids access", ask={"env": LOGGED_IN}),
    Case("A repository that is switched off",
         answers("listing", 403, X_Error_Message="Access to this resource is disabled."), "has switched"),
    Case("Too many requests (429), five times", answers("listing", 429, Retry_After="0"), "no more requests"),
    Case("Trouble of the hub (500), five times", answers("listing", 500, Retry_After="0"), "trouble of its own (500)"),
    Case("Trouble of the storage (502), five times", answers(f"storage/{WEIGHTS}", 502, Retry_After="0"),
         "trouble of its own (502)", fetches=True),
    Case("No network", all_well, "no connection", ask={"env": LOGGED_IN}, surroundings=(("HF_ENDPOINT", "http://127.0.0.1:9"),)),
    Case("Offline mode, nothing in the cache", all_well, "offline mode is on", surroundings=(("HF_HUB_OFFLINE", "1"),)),
    Case("A disk that is too small", lambda hub, _: hub.sizes.update({WEIGHTS: 10**16}), "are still to fetch"),
    Case("Pickles alone", pickled, "holds no safetensors, only pickles"),
    Case("A pickle that would run code, `convert: true`", pickled, "it would run code", fetches=True,
         ask={"convert": True}),
    Case("No weights in transformers' format", other_format, "has no model.safetensors"),
    Case("No config", no_config, "has no config.json"),
    Case("An index that names a file too many", index_too_long, "lacks 1 of 2 files"),
    Case("A listed file that is not there", answers(WEIGHTS, 404, X_Error_Code="EntryNotFound"), "does not have it"),
    Case("A model that needs code of its own", OWN_CODE, "needs code of its own (configuration_x.py)"),
    Case("Quantised by bitsandbytes, 8 bits", quantised(quant_method="bitsandbytes", load_in_8bit=True),
         "(bitsandbytes, 8 bits)"),
    Case("Quantised by bitsandbytes, 4 bits", quantised(quant_method="bitsandbytes", load_in_4bit=True),
         "(bitsandbytes, 4 bits)"),
    Case("Quantised by GPTQ", quantised(quant_method="gptq", bits=4, group_size=128), "(gptq, 4 bits)"),
    Case("Quantised by AWQ", quantised(quant_method="awq", bits=4, group_size=128), "(awq, 4 bits)"),
    Case("Quantised by GPTQ, told in a file of its own", quantised_beside("quantize_config.json", bits=8),
         "(gptq, 8 bits)"),
    Case("Quantised to fp8", quantised(quant_method="fp8", weight_block_size=[128, 128]), "checkpoint (fp8)"),
    Case("Another hash than the hub tells", lambda hub, _: hub.hashes.update({WEIGHTS: "0" * 64}), "did not come as",
         fetches=True),
    Case("A connection that is cut", lambda hub, _: hub.cut.update({WEIGHTS: 20_000}), "going on after", fetches=True,
         ends_well=True),
    Case("A run that broke off, then run again", all_well, "going on after", fetches=True, ends_well=True,
         before=breaks_for_good),
    Case("Busy for a moment (429, twice)", answers(f"storage/{WEIGHTS}", 429, 2, Retry_After="1"), "answers 429: try 3",
         fetches=True, ends_well=True),
    Case("Trouble for a moment (500, twice)", answers("listing", 500, 2, Retry_After="1"), "answers 500: try 3",
         fetches=True, ends_well=True),
    Case("A branch in place of a commit", all_well, "is a name that can move", fetches=True, ends_well=True),
)  # fmt: skip


def run_cases() -> Iterator[Told]:
    """Run every case, each with a hub and a cache that know nothing of the others'."""
    with serve_hub() as hub, tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        tiny = save_tiny_folder(root / "tiny")
        clients: dict[tuple[tuple[str, str], ...], HubClient] = {}
        try:
            for case in CASES:
                if case.surroundings not in clients:
                    number = root / f"client{len(clients)}"
                    clients[case.surroundings] = HubClient(hub.endpoint, number, **dict(case.surroundings))
                yield _run(case, hub, clients[case.surroundings], tiny, root / "repository")
        finally:
            for client in clients.values():
                client.close()


def _run(case: Case, hub: HubServer, client: HubClient, tiny: Path, folder: Path) -> Told:
    for used in (folder, client.root / "home" / "hub", client.root / "resources"):
        shutil.rmtree(used, ignore_errors=True)
    hub.repos = {REPO: Path(shutil.copytree(tiny, folder))}
    for changed in (hub.mistakes, hub.cut, hub.sizes, hub.hashes, hub.gated, hub.tokens, hub.requests):
        changed.clear()
    hub.sent = 0
    asked = {"repo": REPO, **case.ask}
    if case.before:
        case.before(hub, folder)
        client.fetch(**asked)
        hub.requests.clear()
    case.prepare(hub, folder)
    fetched = client.fetch(**asked)
    lines = [line for line in fetched.output.splitlines() if case.told in line]
    if len(lines) != 1:
        raise AssertionError(f"{case.title}: '{case.told}' is in {len(lines)} lines of\n{fetched.output}")
    ranges = tuple(request.range for request in hub.asked(where="storage"))
    size = sum(path.stat().st_size for path in folder.glob("*") if path.suffix in LARGE)
    return Told(case, fetched, _plain(lines[0], client), ranges, hub.sent, size)


def _plain(line: str, client: HubClient) -> str:
    """Take out of a line what differs between machines: its head, the cache, the room on the disk, the commit."""
    line = re.sub(r"^\[\w+\] ", "", line).replace("error: ", "", 1)
    line = line.replace(str(client.root / "home"), "~/.cache/huggingface").replace(str(client.root), "")
    line = re.sub(r"has [\d.]+ GB free", "has 20.00 GB free", line).replace(COMMIT, "a1a1...")
    return line.replace("/resources/", "resources/models/")


def to_markdown(told: list[Told]) -> str:
    """Return the table of all cases; of the weights it tells how much was sent for the case in all tries."""
    lines = ["| Case | What the user is told | Weights sent |", "| --- | --- | --- |"]
    for one in told:
        sent = {0: "none", one.size: "each byte once"}[one.sent]
        lines.append(f"| {one.case.title} | {one.line.replace('|', chr(92) + '|')} | {sent} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(to_markdown(list(run_cases())), end="")
