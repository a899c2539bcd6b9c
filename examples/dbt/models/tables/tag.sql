{% set tags = loaded("tags") %}

select
  {{ value(tags, "id") }} as id,
  {{ value(tags, "name") }} as name,
  {{ gone_at(tags) }} is not null as _fivetran_deleted,
  {{ fivetran_synced(tags) }}
from {{ tags.rows }} as tags
