"""The groups of the content data export: one file each, and its columns."""

from __future__ import annotations

CONTENT_PREFIX = "content_export_"

_RECEIPT = (
    "user_id user_external_id company_id company_external_id email name ruleset_id content_id "
    "content_type content_title created_via device ruleset_version_id receipt_id received_at "
    "conversation_id series_id series_title node_id first_reply first_completion "
    "first_series_completion first_series_disengagement first_series_exit first_goal_success "
    "first_tour_step_failure first_tour_step_view first_reaction first_open first_click "
    "first_dismissal first_collected_email first_unsubscribe first_hard_bounce first_soft_bounce "
    "first_spam_complaint first_permission_grant first_button_tap first_screen_view "
    "first_webhook_failure first_sms_failure first_whatsapp_failure first_push_failure "
    "first_answer first_keyword_reply first_people_reached_receipt first_checklist_step_receipt "
    "first_checklist_step_open first_checklist_step_click first_checklist_step_completion "
    "first_fin_helpful_answer first_fin_step_reached"
)
_OVERVIEW = (
    "ruleset_id created_at audience_type content_title content_id content_type series_id "
    "series_title state last_sent_at last_state_change_by last_state_change_at last_edited_by "
    "last_edited_at url receipt_total receipt_unique reply_total reply_unique reply_rate "
    "open_total open_unique open_rate click_total click_unique click_rate"
)
_COLUMNS = {
    "receipt": _RECEIPT,
    "open": "receipt_id opened_at",
    "reply": "receipt_id replied_at",
    "completion": "receipt_id completed_at",
    "dismissal": "receipt_id dismissed_at",
    "click": "receipt_id clicked_at link_type url",
    "answer": "receipt_id answered_at question_id question response_type response",
    "answer_combined": (
        "receipt_id user_id user_external_id name email company_id company_external_id "
        "created_via received_at completed_at"
    ),
    "series_completion": "receipt_id completed_at completion_node_ruleset_id",
    "series_disengagement": "receipt_id disengaged_at disengaged_node_ruleset_id",
    "series_exit": "receipt_id exited_at",
    "goal_success": "receipt_id goal_hit_at",
    "reaction": "receipt_id reacted_at reaction",
    "hard_bounce": "receipt_id hard_bounced_at",
    "soft_bounce": "receipt_id soft_bounced_at",
    "unsubscribe": "receipt_id unsubscribed_at",
    "tour_step_failure": "receipt_id step_id failed_selector failure_url failed_at",
    "tour_step_view": "receipt_id step_id viewed_at",
    "fin_step_reached": (
        "receipt_id involved_at content_id content_type ruleset_id conversation_id"
    ),
    "checkpoint": (
        "user_id company_id series_entry_record_id ruleset_id status_code status_name created_at "
        "last_processed_at expires_at times_processed"
    ),
    "overview": _OVERVIEW,
}
GROUPS: dict[str, list[str]] = {group: names.split() for group, names in _COLUMNS.items()}
# The time column of a row's event, by group; rows of other groups are about messages themselves.
_EVENTS = {
    group: next(name for name in names if name.endswith("_at"))
    for group, names in GROUPS.items()
    if group not in ("receipt", "answer_combined", "checkpoint", "overview")
}
EVENT_TIMES = frozenset(_EVENTS.values())


def event_time(group: str) -> str | None:
    return _EVENTS.get(group)


def is_time(column: str) -> bool:
    return column.endswith("_at") or column.startswith("first_")
