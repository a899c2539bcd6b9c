{% set collections = loaded("collections") %}

select
  {{ value(collections, "id") }} as id,
  {{ value(collections, "help_center_id") }} as help_center_id,
  {{ value(collections, "parent_id") }} as parent_id,
  {{ value(collections, "name") }} as name,
  {{ value(collections, "description") }} as description,
  {{ value(collections, "url") }} as url,
  {{ value(collections, "icon") }} as icon,
  cast('collection' as {{ dbt.type_string() }}) as type,
  {{ value(collections, "default_locale") }} as default_locale,
  {{ value(collections, "workspace_id") }} as workspace_id,
  {{ value(collections, "order", "integer") }} as {{ adapter.quote("order") }},
  {{ value(collections, "created_at", "timestamp") }} as created_at,
  {{ value(collections, "updated_at", "timestamp") }} as updated_at,
  {{ fivetran_history(
    value(collections, "updated_at", "timestamp"), value(collections, "_sdc_deleted_at", "timestamp")
  ) }},
  {{ fivetran_synced(collections) }}
from {{ collections.rows }} as collections
