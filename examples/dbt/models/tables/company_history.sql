{% set companies = loaded("companies") %}

select
  {{ value(companies, "id") }} as id,
  {{ value(companies, "name") }} as name,
  {{ value(companies, "website") }} as website,
  {{ value(companies, "industry") }} as industry,
  {{ field(companies, "plan", ["id"]) }} as plan_id,
  {{ field(companies, "plan", ["name"]) }} as plan_name,
  {{ value(companies, "created_at", "timestamp") }} as created_at,
  {{ value(companies, "updated_at", "timestamp") }} as updated_at,
  {{ value(companies, "monthly_spend", "number") }} as monthly_spend,
  {{ value(companies, "session_count", "integer") }} as session_count,
  {{ value(companies, "user_count", "integer") }} as user_count,
  {{ custom_columns(companies, var("tap_intercom_company_attributes")) }}
  {{ fivetran_history(value(companies, "updated_at", "timestamp"), deleted_at(companies)) }},
  {{ fivetran_synced(companies) }}
from {{ companies.rows }} as companies
{{ join_deletion(companies) }}
