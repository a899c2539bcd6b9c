{% set conversations = loaded("conversations") %}

select distinct
  {{ value(conversations, "id") }} as conversation_id,
  {{ entry(["id"]) }} as contact_id,
  {{ value(conversations, "updated_at", "timestamp") }} as conversation_updated_at,
  {{ fivetran_history(value(conversations, "updated_at", "timestamp"), deleted_at(conversations)) }},
  {{ fivetran_synced(conversations) }}
from {{ conversations.rows }} as conversations
{{ entries(conversations, "contacts") }}
{{ join_deletion(conversations) }}
