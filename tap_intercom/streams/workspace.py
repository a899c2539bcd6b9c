"""The workspace's own people and words: admins, teams, tags."""

from __future__ import annotations

from tap_intercom.streams.lists import ListStream


class Admins(ListStream):
    """One record per teammate with access to the workspace, and its bot. Source: GET /admins."""

    name = "admins"
    path = "/admins"
    records_key = "admins"
    permission = "Read admins"
    is_selected_by_default = True
    params = {"display_avatar": "true"}

    def prepare(self, record: dict[str, object]) -> dict[str, object]:
        # A URL in most versions, an object in others (API-A3).
        avatar = record.get("avatar")
        if isinstance(avatar, str):
            record["avatar"] = {"image_url": avatar}
        return record


class Teams(ListStream):
    """One record per team. Source: GET /teams."""

    name = "teams"
    path = "/teams"
    records_key = "teams"
    permission = "Read admins"
    is_selected_by_default = True


class Tags(ListStream):
    """One record per tag, whatever it is put on. Source: GET /tags."""

    name = "tags"
    path = "/tags"
    permission = "Read tags"
    is_selected_by_default = True
