{# The columns that Fivetran adds to its tables, filled with what they mean. #}

{# When the row was last loaded; null if the target adds no metadata columns. #}
{% macro fivetran_synced(table) -%}
  coalesce(
    {{ value(table, "_sdc_batched_at", "timestamp") }},
    {{ value(table, "_sdc_extracted_at", "timestamp") }}
  ) as _fivetran_synced
{%- endmacro %}

{# When a row of a list that each run sends in full was found to be no longer in it; null if it is.
   Some targets mark such a row. Others keep it, but all rows of the newest run have the same time of
   extraction. #}
{% macro gone_at(table) -%}
  {%- set extracted_at = value(table, "_sdc_extracted_at", "timestamp") -%}
  coalesce(
    {{ value(table, "_sdc_deleted_at", "timestamp") }},
    nullif(
      max({{ extracted_at }}) over (partition by {{ value(table, "_sdc_workspace_id") }}),
      {{ extracted_at }}
    )
  )
{%- endmacro %}

{# To write after a table of contacts, companies or conversations: its deletion, if there is one.
   Rows of deletions stay when a record is restored, but then the record is loaded after them. #}
{% macro join_deletion(table) -%}
  {%- set deletions = loaded("deletions") -%}
  {%- set extracted_at = value(table, "_sdc_extracted_at", "timestamp") -%}
  left join (
    select
      {{ value(deletions, "id") }} as id,
      max({{ value(deletions, "seen_at", "timestamp") }}) as seen_at,
      max({{ value(deletions, "_sdc_extracted_at", "timestamp") }}) as extracted_at
    from {{ deletions.rows }} as deletions
    where {{ value(deletions, "stream") }} = '{{ table.name }}'
    group by 1
  ) as deletion
    on deletion.id = {{ value(table, "id") }}
    and coalesce(deletion.extracted_at >= {{ extracted_at }}, true)
{%- endmacro %}

{# When a contact, company or conversation was found to be deleted; null if it exists. #}
{% macro deleted_at(table) -%}
  coalesce({{ value(table, "_sdc_deleted_at", "timestamp") }}, deletion.seen_at)
{%- endmacro %}

{# Targets keep one row for each record, its newest version. So the row starts when the record last
   changed, and ends only if the record is deleted. #}
{% macro fivetran_history(started_at, deleted_at) -%}
  {{ deleted_at }} is null as _fivetran_active,
  cast({{ started_at }} as {{ dbt.type_timestamp() }}) as _fivetran_start,
  coalesce(
    cast({{ deleted_at }} as {{ dbt.type_timestamp() }}),
    cast('9999-12-31 23:59:59.999' as {{ dbt.type_timestamp() }})
  ) as _fivetran_end
{%- endmacro %}
