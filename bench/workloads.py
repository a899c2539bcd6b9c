"""The workloads: what each one runs, and the goals that its figures are held against."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from functools import cache
from math import ceil
from statistics import median
from typing import Any

from measure import (
    NO_RATE_LIMIT,
    PEER,
    TAP,
    WINDOW_SECONDS,
    Command,
    Run,
    Sandbox,
    apart,
    run,
    run_floor,
    run_ours,
    run_peer,
    sandbox,
)

# Intercom's limit of 10,000 requests a minute, as it comes in windows of ten seconds.
RATE_LIMIT = 1667
PAGE_SIZE = 150
DAYS = 365
DAY_SECONDS = 86_400
PARTS = 8
# The PyPI tap reads as many only where it would take too long.
PEER_CONTACTS = 10_000
PEER_CONVERSATIONS = 500
CONVERSATIONS = ("conversations", "conversation_parts")
START_UP_RUNS = 7


@dataclass(frozen=True)
class Settings:
    """How to run all workloads. scale: 1 for the sizes that the goals are for."""

    scale: float = 1.0
    repeat: int = 2
    with_peer: bool = True

    def size(self, number: int) -> int:
        return max(int(number * self.scale), 1)


@dataclass(frozen=True)
class Goal:
    """A figure and the bound that it should keep."""

    what: str
    value: float | None
    bound: float
    at_least: bool = False

    @property
    def is_met(self) -> bool | None:
        """None where the figure could not be measured."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass
class Row:
    """The medians of one tap's runs, scaled to the whole workload when a part of it ran."""

    who: str
    wall_seconds: float
    cpu_seconds: float
    peak_megabytes: float | None = None
    records: int = 0
    requests: int = 0
    rate_limited: int = 0
    highest_rate_per_window: int = 0
    sandbox_cpu_share: float | None = None
    first_record_seconds: float | None = None
    note: str = ""


@dataclass
class Result:
    title: str
    rows: list[Row]
    goals: list[Goal]
    details: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        goals = [asdict(goal) | {"is_met": goal.is_met} for goal in self.goals]
        rows = [asdict(row) for row in self.rows]
        return {"title": self.title, "rows": rows, "goals": goals, "details": self.details}


def contacts(settings: Settings) -> Result:
    """(a) Many contacts from far away."""
    count, latency = settings.size(100_000), 0.05
    ours, peer = [], []
    with sandbox(latency, NO_RATE_LIMIT, contacts=count, conversations=1, parts=1) as server:
        for _ in range(settings.repeat):
            ours.append(run_ours(server, ["contacts"], "contacts-ours"))
            if settings.with_peer:
                start = start_date(PEER_CONTACTS, count)
                peer.append(run_peer(server, ["contacts"], "contacts-peer", start_date=start))
        server.set_latency(0)
        floor = run_floor(server)
    rows = [row("ours", ours), *peer_rows(peer, count)]
    pages = ceil(count / PAGE_SIZE)
    rows.append(limit_row("rate limit", pages / RATE_LIMIT * WINDOW_SECONDS, pages))
    rows.append(floor_row(floor, count))
    return Result(
        f"{count:,} contacts, {latency * 1000:.0f} ms latency, no rate limit",
        rows,
        [
            Goal("times as fast as the PyPI tap", wall_ratio(rows), 10, at_least=True),
            Goal("requests / minimum", rows[0].requests / pages, 1.3),
        ],
    )


def parts(settings: Settings) -> Result:
    """(b) A request for each conversation, under Intercom's rate limit."""
    count, latency = settings.size(5_000), 0.1
    shares = (0.9, 1.0)
    runs: dict[float, Run] = {}
    peer = []
    sizes = {"contacts": 100, "conversations": count, "parts": count * PARTS}
    with sandbox(latency, RATE_LIMIT, **sizes) as server:
        for share in shares:
            name = f"parts-ours-{share}"
            runs[share] = run_ours(server, CONVERSATIONS, name, rate_limit_share=share)
        if settings.with_peer:
            start = start_date(PEER_CONVERSATIONS, count)
            peer.append(run_peer(server, CONVERSATIONS, "parts-peer", start_date=start))
    rows = []
    goals = []
    for share, measured in runs.items():
        rows.append(row(f"ours, rate_limit_share {share}", [measured]))
        allowed = RATE_LIMIT * share / WINDOW_SECONDS
        rate = measured.steady_rate
        reached = None if rate is None else rate / allowed
        goals.append(Goal(f"steady rate / allowed, share {share}", reached, 0.95, at_least=True))
        goals.append(Goal(f"429s, share {share}", measured.rate_limited, 0))
    rows += peer_rows(peer, rows[0].records)
    requests = count + ceil(count / PAGE_SIZE)
    seconds = requests / RATE_LIMIT * WINDOW_SECONDS
    rows.append(limit_row("rate limit", seconds, requests))
    title = f"{count:,} conversations, {count * PARTS:,} parts, {latency * 1000:.0f} ms latency, "
    return Result(title + f"{RATE_LIMIT:,} requests per {WINDOW_SECONDS} s", rows, goals)


def incremental(settings: Settings) -> Result:
    """(c) The next run, when 1 % has changed."""
    contact_count, conversation_count = settings.size(100_000), settings.size(5_000)
    changed_contacts = max(contact_count // 100, 1)
    changed_conversations = max(conversation_count // 100, 1)
    streams = ("contacts", *CONVERSATIONS)
    sizes = {
        "contacts": contact_count,
        "conversations": conversation_count,
        "parts": conversation_count * PARTS,
    }
    ours, peer = [], []
    with sandbox(0, NO_RATE_LIMIT, **sizes) as server:
        first_started = time.time()
        state = run_ours(server, streams, "incremental-first").last_state
        apart(change_some, server, "contacts", changed_contacts, "update_contact", "contact_id")
        apart(
            change_some, server, "conversations", changed_conversations, "reply", "conversation_id"
        )
        server.set_latency(0.05)
        # What the PyPI tap would have kept from a first run at the same time.
        bookmark = {"updated_at": rfc3339(first_started)}
        peer_state = {"bookmarks": dict.fromkeys(streams, bookmark)}
        for _ in range(settings.repeat):
            ours.append(run_ours(server, streams, "incremental-ours", state=state))
            if settings.with_peer:
                peer.append(run_peer(server, streams, "incremental-peer", state=peer_state))
    minimum = (
        ceil(changed_contacts / PAGE_SIZE)
        + ceil(changed_conversations / PAGE_SIZE)
        + changed_conversations
    )
    rows = [row("ours", ours)]
    if peer:
        rows.append(row("PyPI tap", peer))
    rows.append(limit_row("rate limit", minimum / RATE_LIMIT * WINDOW_SECONDS, minimum))
    return Result(
        f"incremental: {changed_contacts:,} of {contact_count:,} contacts and "
        f"{changed_conversations:,} of {conversation_count:,} conversations changed, 50 ms latency",
        rows,
        [Goal("requests / minimum", rows[0].requests / minimum, 1.2)],
    )


def processor(settings: Settings) -> Result:
    """(d) CPU only."""
    contact_count, conversation_count = settings.size(200_000), settings.size(50_000)
    with sandbox(0, NO_RATE_LIMIT, contacts=contact_count, conversations=1, parts=1) as server:
        contact_rows = processor_rows(settings, server, "contacts", contact_count)
    sizes = {"contacts": 100, "conversations": conversation_count, "parts": 1}
    with sandbox(0, NO_RATE_LIMIT, **sizes) as server:
        conversation_rows = processor_rows(settings, server, "conversations", conversation_count)
    by_peer = (
        contact_rows[1].cpu_seconds / contact_rows[0].cpu_seconds if settings.with_peer else None
    )
    return Result(
        f"CPU only: {contact_count:,} contacts, {conversation_count:,} conversations, "
        "no latency, no rate limit",
        [*contact_rows, *conversation_rows],
        [
            Goal("CPU / orjson floor, contacts", by_floor(contact_rows), 2.2),
            Goal("CPU / orjson floor, conversations", by_floor(conversation_rows), 3),
            Goal("CPU of the PyPI tap / ours, contacts", by_peer, 10, at_least=True),
        ],
    )


def processor_rows(settings: Settings, server: Sandbox, stream: str, count: int) -> list[Row]:
    """Rows of a search: ours first, the PyPI tap if wanted, and the orjson floor last.

    Bodies stay HTML, as in the floor and in the PyPI tap.
    """
    ours, peer, floors = [], [], []
    start = start_date(PEER_CONTACTS if stream == "contacts" else PEER_CONVERSATIONS, count)
    for _ in range(settings.repeat):
        name = f"processor-ours-{stream}"
        ours.append(run_ours(server, [stream], name, body_format="html"))
        floors.append(run_floor(server, stream))
        if settings.with_peer:
            name = f"processor-peer-{stream}"
            peer.append(run_peer(server, [stream], name, start_date=start))
    floor = sorted(floors, key=lambda each: float(each["cpu_seconds"]))[len(floors) // 2]
    rows = [row("ours", ours), *peer_rows(peer, count), floor_row(floor, count)]
    for each in rows:
        each.who = f"{each.who}, {stream}"
    return rows


def by_floor(rows: Sequence[Row]) -> float:
    return rows[0].cpu_seconds / rows[-1].cpu_seconds


def memory(settings: Settings) -> Result:
    """(e) Memory of a large workspace, and how a run grows with it."""
    rows = []
    for factor in (0.01, 0.1, 1):
        count = settings.size(int(1_000_000 * factor))
        with sandbox(0, NO_RATE_LIMIT, contacts=count, conversations=1, parts=1) as server:
            ours = run_ours(server, ["contacts"], "memory-ours")
            rows.append(row(f"ours, {count:,}", [ours]))
            if settings.with_peer and factor == 1:
                start = start_date(PEER_CONTACTS, count)
                peer = run_peer(server, ["contacts"], "memory-peer", start_date=start)
                rows += peer_rows([peer], count)
    samples = ours.memory_megabytes
    quarter = len(samples) // 4
    growth = max(samples[-quarter:]) / max(samples[:quarter]) if quarter else None
    return Result(
        f"memory and growth: up to {count:,} contacts, no latency, no rate limit",
        rows,
        [
            Goal("peak memory, MB", ours.peak_megabytes, 100),
            Goal("memory, last quarter / first quarter", growth, 1.1),
        ],
        {"memory_megabytes": [round(each, 1) for each in samples]},
    )


def start_up(settings: Settings) -> Result:
    """(f) How long until something comes."""
    latency = 0.25
    commands: dict[str, Command] = {"ours": [TAP, "--help"]}
    if settings.with_peer:
        commands["PyPI tap"] = [PEER.parent / "tap-intercom", "--help"]
    helps: dict[str, list[Run]] = {who: [] for who in commands}
    firsts: dict[str, list[Run]] = {who: [] for who in commands}
    for _ in range(START_UP_RUNS):
        for who, command in commands.items():
            helps[who].append(run(command, "start-up"))
    with sandbox(latency, RATE_LIMIT, contacts=1_000, conversations=1, parts=1) as server:
        for _ in range(settings.repeat):
            firsts["ours"].append(run_ours(server, ["contacts"], "start-up-ours"))
            if settings.with_peer:
                firsts["PyPI tap"].append(run_peer(server, ["contacts"], "start-up-peer"))
    rows = [
        row(f"{who}, {what}", runs[who])
        for what, runs in (("--help", helps), ("first RECORD", firsts))
        for who in commands
    ]
    for each in rows:
        if each.first_record_seconds is not None:
            each.note = f"first RECORD after {each.first_record_seconds:.2f} s"
    first_record = median(each.first_record_seconds or 0 for each in firsts["ours"])
    return Result(
        f"start-up, {latency * 1000:.0f} ms latency",
        rows,
        [
            Goal("--help, s", rows[0].wall_seconds, 0.15),
            Goal("first RECORD, s beyond two latencies", first_record - 2 * latency, 0.5),
        ],
    )


def fast_app(settings: Settings) -> Result:
    """(h) An app whose limit is so high that the processor may be what limits a run; and a
    workspace with three apps of the usual limit.
    """
    count, latency, high = settings.size(5_000), 0.02, 5_000
    sizes = {"contacts": 100, "conversations": count, "parts": count * PARTS}
    rows = []
    with sandbox(latency, high, **sizes) as server:
        fast = run_ours(server, CONVERSATIONS, "fast-app", rate_limit_share=1.0)
        rows.append(row(f"ours, {high:,} requests per {WINDOW_SECONDS} s", [fast]))
        server.set_rate_limit(RATE_LIMIT)
        one = run_ours(server, CONVERSATIONS, "one-token")
        rows.append(row("ours, one token", [one]))
        tokens = [server.config["access_token"], "token-of-app-2", "token-of-app-3"]
        server.add_tokens(tokens[1:])
        three = run_ours(server, CONVERSATIONS, "three-tokens", access_token=tokens)
        rows.append(row("ours, three tokens", [three]))
    requests = count + ceil(count / PAGE_SIZE)
    rows.append(limit_row("rate limit", requests / high * WINDOW_SECONDS, requests))
    allowed = high / WINDOW_SECONDS
    rate = fast.requests / fast.wall_seconds
    return Result(
        f"{count:,} conversations, {count * PARTS:,} parts, {latency * 1000:.0f} ms latency, "
        f"{high:,} requests per {WINDOW_SECONDS} s, or three tokens with {RATE_LIMIT:,} each",
        rows,
        [
            Goal("rate / allowed", rate / allowed, 0.9, at_least=True),
            Goal("CPU, ms for each conversation", fast.cpu_seconds / count * 1000, 0.9),
            Goal("429s", max(each.rate_limited for each in (fast, one, three)), 0),
            Goal(
                "times as fast with three tokens",
                one.wall_seconds / three.wall_seconds,
                2.4,
                at_least=True,
            ),
        ],
    )


def conversations(settings: Settings) -> Result:
    """(i) CPU only, many conversations without parts."""
    count = settings.size(200_000)
    alone = replace(settings, with_peer=False)
    with sandbox(0, NO_RATE_LIMIT, contacts=100, conversations=count, parts=1) as server:
        rows = processor_rows(alone, server, "conversations", count)
    return Result(
        f"CPU only: {count:,} conversations without parts, no latency, no rate limit",
        rows,
        [Goal("CPU / orjson floor, conversations", by_floor(rows), 3)],
    )


def change_some(server: Sandbox, stream: str, count: int, operation: str, key: str) -> None:
    """Edit `count` records, evenly spread over all of a stream."""
    record_ids = [record["id"] for record in server.call("GET", f"truth/{stream}")]
    for record_id in record_ids[:: len(record_ids) // count][:count]:
        server.edit(operation, **{key: record_id})


WORKLOADS: dict[str, Callable[[Settings], Result]] = {
    "a": contacts,
    "b": parts,
    "c": incremental,
    "d": processor,
    "e": memory,
    "f": start_up,
    "h": fast_app,
    "i": conversations,
}


def row(who: str, runs: Sequence[Run]) -> Row:
    """The medians of some runs of the same workload."""
    firsts = [each.first_record_seconds for each in runs if each.first_record_seconds is not None]
    return Row(
        who,
        wall_seconds=median(each.wall_seconds for each in runs),
        cpu_seconds=median(each.cpu_seconds for each in runs),
        peak_megabytes=max(each.peak_megabytes for each in runs),
        records=int(median(each.records for each in runs)),
        requests=int(median(each.requests for each in runs)),
        rate_limited=max(each.rate_limited for each in runs),
        highest_rate_per_window=max(each.highest_rate_per_window for each in runs),
        sandbox_cpu_share=median(each.sandbox_cpu_seconds / each.wall_seconds for each in runs),
        first_record_seconds=median(firsts) if firsts else None,
    )


@cache
def peer_start_up() -> Run:
    return run([PEER.parent / "tap-intercom", "--help"], "peer-start-up")


def peer_rows(runs: Sequence[Run], records: int) -> list[Row]:
    """One row of the PyPI tap, or none; what takes longer when more is read is scaled up."""
    if not runs:
        return []
    found = row("PyPI tap", runs)
    factor = records / max(found.records, 1)
    if factor > 1.01:
        start = peer_start_up()
        found.wall_seconds = start.wall_seconds + (found.wall_seconds - start.wall_seconds) * factor
        found.cpu_seconds = start.cpu_seconds + (found.cpu_seconds - start.cpu_seconds) * factor
        found.requests = round(found.requests * factor)
        found.note = f"extrapolated from {found.records:,} records"
        found.records = records
    return [found]


def limit_row(who: str, seconds: float, requests: int) -> Row:
    return Row(f"limit: {who}", seconds, 0.0, requests=requests, note="computed")


def floor_row(floor: dict[str, Any], records: int) -> Row:
    seconds = floor["cpu_seconds"] * records / floor["records"]
    return Row("limit: orjson", seconds, seconds, records=records, note="parse pages, write lines")


def wall_ratio(rows: Sequence[Row]) -> float | None:
    """How many times as long the PyPI tap takes."""
    peer = next((each for each in rows if each.who == "PyPI tap"), None)
    return None if peer is None else peer.wall_seconds / rows[0].wall_seconds


def start_date(count: int, of: int) -> str:
    """Since when about the last `count` records changed; they are evenly spread over a year."""
    return rfc3339(time.time() - min(count / of, 2) * DAYS * DAY_SECONDS)


def rfc3339(instant: float) -> str:
    return datetime.fromtimestamp(instant, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
