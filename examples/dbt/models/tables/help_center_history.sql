{% set help_centers = loaded("help_centers") %}

select
  {{ value(help_centers, "id") }} as id,
  {{ value(help_centers, "display_name") }} as display_name,
  {{ value(help_centers, "identifier") }} as identifier,
  {{ value(help_centers, "workspace_id") }} as workspace_id,
  {{ value(help_centers, "website_turned_on", "boolean") }} as website_turned_on,
  {{ value(help_centers, "created_at", "timestamp") }} as created_at,
  {{ value(help_centers, "updated_at", "timestamp") }} as updated_at,
  {{ fivetran_history(value(help_centers, "updated_at", "timestamp"), gone_at(help_centers)) }},
  {{ fivetran_synced(help_centers) }}
from {{ help_centers.rows }} as help_centers
