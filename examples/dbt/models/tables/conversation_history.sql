{% set conversations = loaded("conversations") %}

select
  {{ value(conversations, "id") }} as id,
  {{ value(conversations, "created_at", "timestamp") }} as created_at,
  {{ value(conversations, "updated_at", "timestamp") }} as updated_at,
  {{ value(conversations, "state") }} as state,
  {{ value(conversations, "read", "boolean") }} as read,
  coalesce(
    {{ id_or_null(conversations, "admin_assignee_id") }},
    {{ id_or_null(conversations, "team_assignee_id") }}
  ) as assignee_id,
  case
    when {{ id_or_null(conversations, "admin_assignee_id") }} is not null then 'admin'
    when {{ id_or_null(conversations, "team_assignee_id") }} is not null then 'team'
  end as assignee_type,
  -- Fivetran has one assignee, which is an admin if both are set.
  {{ id_or_null(conversations, "admin_assignee_id") }} as admin_assignee_id,
  {{ id_or_null(conversations, "team_assignee_id") }} as team_assignee_id,
  {{ field(conversations, "conversation_rating", ["rating"], "integer") }} as conversation_rating_value,
  {{ field(conversations, "conversation_rating", ["remark"]) }} as conversation_rating_remark,
  {{ field(conversations, "first_contact_reply", ["created_at"], "timestamp") }} as first_contact_reply_created_at,
  {{ field(conversations, "first_contact_reply", ["type"]) }} as first_contact_reply_type,
  {{ field(conversations, "source", ["type"]) }} as source_type,
  {{ field(conversations, "source", ["delivered_as"]) }} as source_delivered_as,
  {{ field(conversations, "source", ["subject"]) }} as source_subject,
  {{ field(conversations, "source", ["body"]) }} as source_body,
  {{ field(conversations, "source", ["author", "id"]) }} as source_author_id,
  {{ field(conversations, "source", ["author", "type"]) }} as source_author_type,
  {{ field(conversations, "sla_applied", ["sla_name"]) }} as sla_name,
  {{ field(conversations, "sla_applied", ["sla_status"]) }} as sla_status,
  {{ value(conversations, "waiting_since", "timestamp") }} as waiting_since,
  {{ value(conversations, "snoozed_until", "timestamp") }} as snoozed_until,
  {{ custom_columns(conversations, var("tap_intercom_conversation_attributes")) }}
  {{ fivetran_history(value(conversations, "updated_at", "timestamp"), deleted_at(conversations)) }},
  {{ fivetran_synced(conversations) }}
from {{ conversations.rows }} as conversations
{{ join_deletion(conversations) }}
