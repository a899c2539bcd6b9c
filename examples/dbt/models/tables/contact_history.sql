{% set contacts = loaded("contacts") %}

select
  {{ value(contacts, "id") }} as id,
  {{ id_or_null(contacts, "owner_id") }} as admin_id,
  {{ value(contacts, "email") }} as email,
  {{ value(contacts, "name") }} as name,
  {{ value(contacts, "role") }} as role,
  {{ value(contacts, "created_at", "timestamp") }} as created_at,
  {{ value(contacts, "updated_at", "timestamp") }} as updated_at,
  {{ value(contacts, "signed_up_at", "timestamp") }} as signed_up_at,
  {{ value(contacts, "last_replied_at", "timestamp") }} as last_replied_at,
  {{ value(contacts, "last_contacted_at", "timestamp") }} as last_contacted_at,
  {{ value(contacts, "last_email_opened_at", "timestamp") }} as last_email_opened_at,
  {{ value(contacts, "last_email_clicked_at", "timestamp") }} as last_email_clicked_at,
  {{ value(contacts, "unsubscribed_from_emails", "boolean") }} as unsubscribed_from_emails,
  {{ custom_columns(contacts, var("tap_intercom_contact_attributes")) }}
  {{ fivetran_history(value(contacts, "updated_at", "timestamp"), deleted_at(contacts)) }},
  {{ fivetran_synced(contacts) }}
from {{ contacts.rows }} as contacts
{{ join_deletion(contacts) }}
