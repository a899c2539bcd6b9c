"""A workspace with values in every table that a database or a target could misread."""

from __future__ import annotations

from database_loads import HALF_OF_A_PAIR
from test_flattening import VALUES

from intercom_sandbox import Workspace, generate

TEXTS = (
    "a\nb\r\nc\rd\n",
    "\ttab\there\t",
    "\"double\" 'single' `back` ''twice'' \"\"twice\"\"",
    'a,b;c|d\n"e","f"\n',
    "back\\slash \\n \\t \\\\ \\",
    "nul\0between\0",
    "👩\u200d💻 🇮🇪 日本語 العربية Z\u0361alg\u0301o",
    f"half {HALF_OF_A_PAIR} a pair",
    "",
    " ",
    "  spaces around  ",
    "NULL",
    "null",
    "\\N",
    "\\.",
    "None",
    "{}",
    '{"a": [1, "b\\n"]}',
    "[1, 2]",
    "{1,2}",
    "%s %(name)s :name $1 ?",
    "'; drop table contacts; --",
    "\x01\x08\x0b\x0c\x1b\x1f\x7f\x85\u2028\u2029\ufeff",
    "true",
    "1e5",
    "0012",
    "infinity",
    "2024-01-01",
    "=1+1",
    "é" * 50_000,
    ("line\n" + '"quoted", ' + "\\") * 8_000,
)
NUMBERS = (0, -1, 0.1, 1e-9, 155.55, 12345678.901234, 1e15, 2**53 + 1)
INTEGERS = (0, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64, 10**39)
TIMES = (
    *(0, -1, 978_307_199, 2**32, -62_135_596_800, 253_402_300_799),
    # Before year 1, after year 9999, in milliseconds, and no time at all.
    *(-62_135_596_801, 253_402_300_800, 1_700_000_000_123, 2**70, 0.25),
)


def hostile_workspace() -> Workspace:
    workspace = generate(
        seed=3, contacts=40, companies=12, conversations=16, parts=40, tickets=8, days=20,
        datasets=10, resources=8, details=20,
    )  # fmt: skip
    add_texts(workspace)
    add_numbers(workspace)
    add_attributes(workspace)
    return workspace


def add_texts(workspace: Workspace) -> None:
    conversation_id = workspace.add_conversation()
    ticket_id = workspace.add_ticket()
    for number, text in enumerate(TEXTS):
        named = f"{number} {text}"
        contact_id = workspace.add_contact(
            name=text, external_id=named, custom_attributes={"anything": text, f"key {text}": text}
        )
        workspace.add_company(name=text, company_id=named, custom_attributes={"note": text})
        workspace.add_contact_note(contact_id, body=text)
        workspace.add_part(conversation_id, body=text)
        workspace.add_ticket_part(ticket_id, body=text)
        workspace.add_tag(name=text)
        workspace.add_record("articles", title=text, body=text, description=text)
        workspace.add_record("macros", name=text)
        if len(text) < 10_000:
            workspace.load_events(
                contact_id,
                [{"event_name": named, "metadata": {"text": text}}],
            )


def add_numbers(workspace: Workspace) -> None:
    for number in NUMBERS:
        workspace.add_company(monthly_spend=number)
    for number in INTEGERS:
        if -(2**63) <= number < 2**64:  # more cannot be kept here
            workspace.add_company(session_count=number)
    for instant in TIMES:
        if instant < 2**64:
            workspace.add_contact(signed_up_at=instant, last_seen_at=instant)


def add_attributes(workspace: Workspace) -> None:
    """Attributes of each type with values that fit it and that do not; names of every kind."""
    for kind, values in VALUES.items():
        workspace.add_data_attribute("contact", f"any {kind}", kind)
        for value in values:
            workspace.add_contact(custom_attributes={f"any {kind}": value})
    names = ("Case", "case", "CASE", "x" * 44, "x" * 64, "é" * 40, 'quo"te', "select", "a.b", "$a")
    for name in names:
        workspace.add_data_attribute("contact", name, "string")
        workspace.add_data_attribute("company", name, "integer")
    workspace.add_contact(custom_attributes={name: name for name in names})
    workspace.add_company(custom_attributes={name: at for at, name in enumerate(names)})
