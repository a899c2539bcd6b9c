{% set admins = loaded("admins") %}

select
  {{ value(admins, "id") }} as id,
  {{ value(admins, "name") }} as name,
  {{ value(admins, "job_title") }} as job_title,
  {{ gone_at(admins) }} is not null as _fivetran_deleted,
  {{ fivetran_synced(admins) }}
from {{ admins.rows }} as admins
