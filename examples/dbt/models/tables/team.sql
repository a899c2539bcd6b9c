{% set teams = loaded("teams") %}

select
  {{ value(teams, "id") }} as id,
  {{ value(teams, "name") }} as name,
  {{ gone_at(teams) }} is not null as _fivetran_deleted,
  {{ fivetran_synced(teams) }}
from {{ teams.rows }} as teams
