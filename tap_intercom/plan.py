"""What a run reads together, in which order, and from when."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from tap_intercom.attachments.keeper import Keeper
from tap_intercom.errors import ConfigError, ContractError, TapError
from tap_intercom.intercom.client import Answer, Client, Workspace
from tap_intercom.intercom.export_jobs import ExportJobs
from tap_intercom.intercom.tokens import missing_from_some
from tap_intercom.reading.read_ahead import ReadAhead
from tap_intercom.reading.stream import MissingPermission, Probe, Stream
from tap_intercom.reading.stream_run import Opening, Selection, Shared, StreamRun
from tap_intercom.settings import Settings
from tap_intercom.shortfalls import Shortfalls
from tap_intercom.state import Origin, Plan, State, hash_filters
from tap_intercom.streams import lineage, root_of, stream_of


def plan_runs(
    selections: Mapping[str, Selection],
    *,
    client: Client,
    settings: Settings,
    state: State,
    workspace: Workspace,
    ahead: ReadAhead,
    jobs: ExportJobs,
    shortfalls: Shortfalls,
    keeper: Keeper | None = None,
) -> list[StreamRun]:
    """Return one run for each group of streams that are read together, in order.

    If the streams of a group cannot begin, its run holds the error. Raises ContractError if the
    workspace id is needed and not known, and ConfigError for settings that no stream can use.
    """
    if settings.add_workspace_id and workspace.id is None:
        raise ContractError("/me returns no workspace id, which add_workspace_id needs")
    shared = Shared(selections, (root_of(name) for name in selections))
    runs = []
    for names in groups(list(selections), state.currently_syncing):
        root = stream_of(root_of(names[0]))
        client_of_stream = client.for_stream(names[0])
        covers, error = _begin(root, names, Opening(client_of_stream, settings, workspace, shared))
        origin, lookback = _origin(root, names, settings, workspace)
        runs.append(
            StreamRun(
                client=client_of_stream,
                settings=settings,
                origin=origin,
                ahead=ahead,
                shortfalls=shortfalls,
                selections={name: selections[name] for name in names},
                plans={
                    name: _plan(state, selections[name], name, origin, lookback, covers.get(name))
                    for name in names
                    if selections[name].replication_key is not None
                },
                workspace_id=workspace.id,
                jobs=jobs,
                shared=shared,
                keeper=keeper if _has_files(names) else None,
                covers=covers,
                error=error,
            )
        )
    return runs


def _asking(client: Client) -> Callable[[Probe], Answer]:
    return lambda probe: probe.send(client)


def use_equal_tokens(client: Client, settings: Settings, names: Collection[str]) -> None:
    """Leave out access tokens without a permission for which Intercom silently sends less.

    Otherwise it would depend on chance what a record contains.
    """
    clients = client.with_each_token()
    if len(clients) == 1:
        return
    roots = [stream_of(root) for root in dict.fromkeys(map(root_of, names))]
    missing: dict[int, set[MissingPermission]] = {}
    for token, each in clients.items():
        try:
            missing[token] = {
                permission
                for root in roots
                for permission in root.missing_permissions(_asking(each), settings)
            }
        except TapError as error:
            # The streams that need the answer ask again, and fail alone.
            client.leave_out(token, f"Intercom does not say what it may read ({error})")
    for token, gap in missing_from_some(missing).items():
        first = min(gap)
        reason = f"it lacks the permission {first.permission}, and Intercom would leave out "
        client.leave_out(token, reason + first.left_out)


def groups(names: list[str], first: str | None) -> list[list[str]]:
    """Return the groups of streams that are read together, in order.

    A child is in its parent's group. The stream in which a run was interrupted comes first. A
    stream that uses the results of another comes after it. Tables whose files are stored come last,
    so others do not wait for a slow file.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(root_of(name), []).append(name)
    ordered = sorted(found, key=lambda root: (first not in found[root], _has_files(found[root])))
    for root in list(ordered):
        place = ordered.index(root)
        before = [ordered.index(each) for each in stream_of(root).after if each in ordered]
        last = max(before, default=0)
        if last > place:
            ordered.insert(last, ordered.pop(place))
    return [sorted(found[root], key=lambda name: name != root) for root in ordered]


def _has_files(names: Sequence[str]) -> bool:
    return any(stream_of(name).rows_of for name in names)


def _covers(names: Sequence[str], opening: Opening) -> dict[str, frozenset[str] | None]:
    """Return what each stream of a group covers, including what its parents cover."""
    asked: dict[str, frozenset[str] | None] = {}
    found: dict[str, frozenset[str] | None] = {}
    for name in names:
        for stream in lineage(name):
            if stream.name not in asked:
                asked[stream.name] = stream.covers(opening)
            words = asked[stream.name]
            if words is not None:
                found[name] = (found.get(name) or frozenset()) | words
    return asked | found


def _begin(
    root: Stream, names: Sequence[str], opening: Opening
) -> tuple[Mapping[str, frozenset[str] | None], Exception | None]:
    """Return what each stream of a group covers, or the error that prevents reading the group."""
    try:
        root.begin(opening.settings, opening.workspace.id, opening.shared)
        return _covers(names, opening), None
    except ConfigError:
        raise
    except Exception as error:
        return {}, error


def _plan(
    state: State,
    selection: Selection,
    name: str,
    origin: Origin,
    lookback: int,
    covers: frozenset[str] | None,
) -> Plan:
    """Return the windows of a stream that earlier runs did not read."""
    return state.plan(
        name,
        origin,
        lookback=lookback,
        key=selection.replication_key or "updated_at",
        parent=stream_of(name).parent,
        whole=selection.version is not None,
        covers=covers,
    )


def _origin(
    root: Stream, names: Sequence[str], settings: Settings, workspace: Workspace
) -> tuple[Origin, int]:
    """Return the origin of a group of streams, and the lookback of its bookmarks."""
    lookback = max(
        root.lookback_seconds,
        *(0 if root.is_snapshot else settings.lookback(name) for name in names),
    )
    origin = Origin(
        start_date=settings.start_date,
        end=None if root.is_snapshot else settings.end_date,
        workspace=workspace.id,
        filters=hash_filters(settings.search_filters.get(root.name)),
        now=workspace.now,
        safe=workspace.now - lookback,
        latest=workspace.latest,
    )
    return origin, lookback
