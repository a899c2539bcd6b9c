"""Files that people add to a workspace, and the records that show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from intercom_sandbox import Workspace

SIZES = (40, 900, 5_000, 70_000)
# Names that a file system refuses, and one that many files share.
NAMES = ("error.png", "error.png", "../../e\u202evil.sh", "CON", "a b%.pdf", "")


def new_file(workspace: Workspace, number: int) -> dict[str, Any]:
    """Keep a file that no other one equals, and return how a record shows it."""
    begin = f"file {len(workspace.files.contents())}, "
    size = SIZES[number % len(SIZES)]
    return workspace.add_file(
        content=(begin * size)[:size].encode(), name=NAMES[number % len(NAMES)]
    )


def new_files(workspace: Workspace, number: int) -> list[dict[str, Any]]:
    """One or two files; the second one has the name of the first."""
    return [new_file(workspace, number) for _ in range(1 + number % 2)]


def body_with(files: Sequence[Mapping[str, Any]]) -> str:
    """A message that shows images, each one twice."""
    images = "".join(f'<img src="{each["url"]}" width="20">' for each in (*files, *files))
    return f"<p>Look: {images}</p>"


def add_conversation_with_files(workspace: Workspace, number: int, instant: int) -> None:
    source = {
        "type": "conversation",
        "id": "1",
        "body": body_with(new_files(workspace, number)),
        "attachments": new_files(workspace, number + 1),
    }
    conversation = workspace.add_conversation(source=source, created_at=instant)
    for other in range(number % 3):
        workspace.reply(
            conversation,
            body_with([new_file(workspace, number)] * (other % 2)),
            attachments=new_files(workspace, number + other),
            created_at=instant,
        )


def add_ticket_with_files(workspace: Workspace, number: int, instant: int) -> None:
    ticket = workspace.add_ticket(
        created_at=instant, ticket_attributes=ticket_attributes(workspace, number)
    )
    parts = [{"attachments": new_files(workspace, number), "created_at": instant}] * (number % 3)
    workspace.load_ticket_parts(ticket, parts)


def add_recorded_call(workspace: Workspace, number: int, instant: int) -> None:
    call = workspace.add_call(created_at=instant, updated_at=instant)
    begin = f"recording {len(workspace.files.contents())}, "
    workspace.add_recording(call, content=begin.encode() * 50)


def ticket_attributes(workspace: Workspace, number: int) -> dict[str, Any]:
    return {
        "Files": new_files(workspace, number),
        "More/files": new_files(workspace, number),
        "_default_description_": body_with([new_file(workspace, number)]),
    }
