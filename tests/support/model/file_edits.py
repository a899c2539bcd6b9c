"""What people do with files in a workspace: `FILES`, by name, as `edits.EDITS` is."""

from __future__ import annotations

import json
from collections.abc import Mapping

from model.edits import Do, NothingThere, Occasion
from model.history import DAY_SECONDS
from model.uploads import (
    add_conversation_with_files,
    add_recorded_call,
    add_ticket_with_files,
    body_with,
    new_file,
    new_files,
    ticket_attributes,
)


def _reply_with_files(it: Occasion) -> None:
    it.workspace.reply(it.conversation, attachments=new_files(it.workspace, it.number + it.other))


def _reply_with_image(it: Occasion) -> None:
    images = new_files(it.workspace, it.number + it.other)
    it.workspace.reply(it.conversation, body_with(images))


def _reply_with_known_file(it: Occasion) -> None:
    """A file that is in the conversation already, as when somebody quotes a message."""
    parts = [json.loads(text) for text in it.workspace.parts[it.conversation]]
    known = [file for part in parts for file in part["attachments"]]
    if not known:
        raise NothingThere
    it.workspace.reply(it.conversation, attachments=[known[it.other % len(known)]])


def _replace_file(it: Occasion) -> None:
    files = [new_file(it.workspace, it.number)]
    it.workspace.update_part(it.conversation, it.part, attachments=files)


def _replace_image(it: Occasion) -> None:
    body = body_with([new_file(it.workspace, it.number)])
    it.workspace.update_part(it.conversation, it.part, body=body)


def _replace_source(it: Occasion) -> None:
    source = it.workspace.conversations.get(it.conversation)["source"]
    files = new_files(it.workspace, it.number)
    it.workspace.update_conversation(it.conversation, source={**source, "attachments": files})


def _remove_file(it: Occasion) -> None:
    """Nobody can open it, though records show it."""
    keys = sorted(it.workspace.files.contents())
    if not keys:
        raise NothingThere
    it.workspace.files.remove(f"{keys[(it.which * 12 + it.other) % len(keys)]}/")


def _add_late_part_with_files(it: Occasion) -> None:
    """A part that is newer than its ticket says: runs look for it in tickets of the last day."""
    updated_at = it.workspace.tickets.get(it.ticket)["updated_at"]
    if updated_at >= it.now - DAY_SECONDS:
        files = new_files(it.workspace, it.number)
        it.workspace.add_ticket_part(it.ticket, attachments=files, moves_ticket=False)


def _add_ticket_part_with_files(it: Occasion) -> None:
    files = new_files(it.workspace, it.number)
    body = body_with([new_file(it.workspace, it.number)])
    it.workspace.add_ticket_part(it.ticket, attachments=files, body=body)


def _reply_aside_with_files(it: Occasion) -> None:
    files = new_files(it.workspace, it.number)
    body = body_with([new_file(it.workspace, it.number)])
    part = {"attachments": files, "body": body}
    it.workspace.add_side_conversation(it.conversation, [part])


EXPIRY = "let addresses expire"
FILES: Mapping[str, Do] = {
    "add conversation with files": lambda it: add_conversation_with_files(
        it.workspace, it.number, it.now
    ),
    "reply with files": _reply_with_files,
    "reply with image": _reply_with_image,
    "reply with known file": _reply_with_known_file,
    "replace file": _replace_file,
    "replace image": _replace_image,
    "replace file of source": _replace_source,
    "take file from part": lambda it: it.workspace.update_part(
        it.conversation, it.part, attachments=[]
    ),
    "remove file": _remove_file,
    EXPIRY: lambda it: it.workspace.files.expire(),
    "add ticket with files": lambda it: add_ticket_with_files(it.workspace, it.number, it.now),
    "add ticket part with files": _add_ticket_part_with_files,
    "add late ticket part with files": _add_late_part_with_files,
    "replace files of ticket": lambda it: it.workspace.update_ticket(
        it.ticket, ticket_attributes=ticket_attributes(it.workspace, it.number)
    ),
    "reply aside with files": _reply_aside_with_files,
    "call with recording": lambda it: add_recorded_call(it.workspace, it.number, it.now),
}
