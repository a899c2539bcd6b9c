{% set teams = loaded("teams") %}

select distinct
  team.id as team_id,
  {{ entry() }} as admin_id,
  team._fivetran_deleted or coalesce(admin._fivetran_deleted, false) as _fivetran_deleted,
  team._fivetran_synced
from {{ teams.rows }} as teams
{{ entries(teams, "admin_ids") }}
join {{ ref("team") }} as team on team.id = {{ value(teams, "id") }}
left join {{ ref("admin") }} as admin on admin.id = {{ entry() }}
