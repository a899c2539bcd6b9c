{% set conversation_parts = loaded("conversation_parts") %}

select
  {{ value(conversation_parts, "id") }} as id,
  {{ value(conversation_parts, "conversation_id") }} as conversation_id,
  {{ value(conversation_parts, "conversation_updated_at", "timestamp") }} as conversation_updated_at,
  {{ value(conversation_parts, "part_type") }} as part_type,
  {{ value(conversation_parts, "body") }} as body,
  {{ value(conversation_parts, "created_at", "timestamp") }} as created_at,
  {{ value(conversation_parts, "updated_at", "timestamp") }} as updated_at,
  {{ field(conversation_parts, "author", ["id"]) }} as author_id,
  {{ field(conversation_parts, "author", ["type"]) }} as author_type,
  {{ field(conversation_parts, "assigned_to", ["id"]) }} as assigned_to_id,
  {{ field(conversation_parts, "assigned_to", ["type"]) }} as assigned_to_type,
  -- A part ends with its conversation.
  {{ fivetran_history(value(conversation_parts, "updated_at", "timestamp"), "deleted._fivetran_end") }},
  {{ fivetran_synced(conversation_parts) }}
from {{ conversation_parts.rows }} as conversation_parts
left join {{ ref("conversation_history") }} as deleted
  on deleted.id = {{ value(conversation_parts, "conversation_id") }}
  and not deleted._fivetran_active
