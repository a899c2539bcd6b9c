"""What Meltano and its Hub must know about the tap, from the declaration behind `--about`.

Meltano checks and converts a value before the tap gets it, by the kind of its setting. The tap
accepts more forms, so some settings get a kind that lets all of them through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tap_intercom.commands.about import CAPABILITIES, SUPPORTED_PYTHON_VERSIONS
from tap_intercom.settings import Settings, config_schema
from tap_intercom.streams import STREAMS

Schema = Mapping[str, Any]

KINDS = {
    "array": "array",
    "boolean": "boolean",
    "integer": "integer",
    # Meltano 4 cannot write a `decimal` that comes from an environment variable.
    "number": "string",
    "object": "object",
    "string": "string",
}
# Meltano passes a default as if the user had set it.
DEFAULTS_NOT_PASSED = {
    "region": "with a base_url of another region, the tap would warn of two regions",
    "user_agent": "it names the version of the tap, which an upgrade changes",
    "lookback_seconds": "Meltano cannot replace a number by an object",
}
ABBREVIATIONS = {"url": "URL", "uri": "URI", "api": "API", "id": "ID", "ids": "IDs"}
PROJECT_START = "# Written by scripts/documentation.py, down to the line that says so."
PROJECT_END = "# What scripts/documentation.py writes ends here."
HUB_HEADER = """\
# Written by scripts/documentation.py: the definition of this variant for Meltano Hub.
#
# Before you send it to the Hub, fill in what only a published repository has:
#   variant: the owner of the repository.
#   pip_url: `git+` and the address of the repository, or singer-tap-intercom once that is on the
#     package index. The project that is called tap-intercom there is another one.
#   repo: the address of the repository.
#   logo_url: the path of a logo in the Hub.
"""


def settings() -> list[dict[str, Any]]:
    """All settings, in the order of their declaration."""
    schema = config_schema()
    return [_setting(name, each) for name, each in schema["properties"].items()]


def selection() -> list[str]:
    """What is selected by default; Meltano selects everything unless it is told otherwise."""
    return [f"{name}.*" for name, stream in STREAMS.items() if stream.is_default(Settings())]


def for_project(text: str) -> str:
    """A meltano.yml with the present definition of the extractor."""
    pattern = re.compile(rf"^( *){PROJECT_START}\n.*?^ *{PROJECT_END}\n", re.DOTALL | re.MULTILINE)
    found = pattern.search(text)
    if found is None:
        raise SystemExit("there is no place for the definition of the extractor")
    lines = [PROJECT_START, *_yaml(_definition()).splitlines(), PROJECT_END]
    block = "".join(f"{found[1]}{line}\n" for line in lines)
    return text[: found.start()] + block + text[found.end() :]


def for_hub() -> str:
    """The whole definition, as a file of the Hub."""
    return HUB_HEADER + _yaml(
        {
            "name": "tap-intercom",
            "namespace": "tap_intercom",
            "variant": "fill-in",
            "pip_url": "git+https://fill-in",
            "repo": "https://fill-in",
            "executable": "tap-intercom",
            "label": "Intercom",
            "description": "Customer messaging and support platform",
            "domain_url": "https://developers.intercom.com/docs/references/rest-api/api.intercom.io",
            "keywords": ["api", "customer support", "incremental", "messaging"],
            "maintenance_status": "beta",
            "quality": "unknown",
            "supported_python_versions": list(SUPPORTED_PYTHON_VERSIONS),
            **_definition(),
            "settings_preamble": SETTINGS_PREAMBLE,
            "next_steps": NEXT_STEPS,
        }
    )


SETTINGS_PREAMBLE = """\
`custom_object_types` takes a list, a JSON list as text, or names with commas. `lookback_seconds`
takes a number, or an object with a number for each stream.
"""
NEXT_STEPS = """\
1. In Intercom, open **Settings > Integrations > Developer Hub** and create an app. Tick the
   permissions for the streams that you want, and copy the access token.
1. Set the token and the first day to read:

   ```bash
   meltano config set tap-intercom access_token
   meltano config set tap-intercom start_date 2024-01-01
   ```

1. See which streams the token can read, and what a run costs:

   ```bash
   meltano config test tap-intercom
   meltano invoke tap-intercom --test
   ```
"""


def _definition() -> dict[str, Any]:
    """What a project and the Hub share."""
    schema = config_schema()
    return {
        "capabilities": list(CAPABILITIES),
        "settings_group_validation": [schema["required"]],
        "settings": settings(),
        "select": selection(),
    }


def _setting(name: str, schema: Schema) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "label": _label(name), "kind": _kind(schema)}
    if schema.get("secret"):
        found["sensitive"] = True
    description = schema["description"]
    if name in DEFAULTS_NOT_PASSED:
        description += _default_text(name, schema)
    elif "default" in schema:
        found["value"] = _plain(schema["default"])
    if "enum" in schema:
        found["options"] = [{"label": value, "value": value} for value in schema["enum"]]
    return {**found, "description": description}


def _kind(schema: Schema) -> str:
    if "enum" in schema:
        return "options"
    if schema.get("format") == "date-time":
        return "date_iso8601"
    types = {*([schema["type"]] if isinstance(schema["type"], str) else schema["type"])} - {"null"}
    # No kind stands for two types; text passes all forms.
    return KINDS[types.pop()] if len(types) == 1 else "string"


def _default_text(name: str, schema: Schema) -> str:
    if name == "user_agent":
        return " Default: tap-intercom/<version>."
    return f" Default: {schema['default']}."


def _plain(value: Any) -> Any:
    """A default as YAML shows it best: 300, not 300.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def _label(name: str) -> str:
    words = [ABBREVIATIONS.get(word, word) for word in name.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


class _Dumper(yaml.SafeDumper):
    """Writes lists inside objects indented, and texts with several lines as they are."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)


def _yaml(document: Any) -> str:
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True))
