{% set contacts = loaded("contacts") %}

select distinct
  {{ value(contacts, "id") }} as contact_id,
  {{ entry(["id"]) }} as company_id,
  {{ value(contacts, "updated_at", "timestamp") }} as contact_updated_at,
  {{ fivetran_history(value(contacts, "updated_at", "timestamp"), deleted_at(contacts)) }},
  {{ fivetran_synced(contacts) }}
from {{ contacts.rows }} as contacts
{{ entries(contacts, "companies") }}
{{ join_deletion(contacts) }}
