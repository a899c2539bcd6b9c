{% set companies = loaded("companies") %}

select distinct
  {{ value(companies, "id") }} as company_id,
  {{ entry(["id"]) }} as tag_id,
  {{ value(companies, "updated_at", "timestamp") }} as company_updated_at,
  {{ fivetran_history(value(companies, "updated_at", "timestamp"), deleted_at(companies)) }},
  {{ fivetran_synced(companies) }}
from {{ companies.rows }} as companies
{{ entries(companies, "tags") }}
{{ join_deletion(companies) }}
