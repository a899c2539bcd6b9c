{# What a target loaded. Targets differ in the types of columns, in the columns beside those of the
   tap, and a table is missing if its stream was not selected. Only this file and json.sql know. #}

{# The type of each column of a table, by name. It is empty if the table is missing. #}
{% macro column_types(table) %}
  {%- set types = {} -%}
  {%- if execute -%}
    {%- set relation = load_relation(source("tap_intercom", table)) -%}
    {%- if relation is not none -%}
      {%- for column in adapter.get_columns_in_relation(relation) -%}
        {%- do types.update({column.name: column.data_type | lower}) -%}
      {%- endfor -%}
    {%- elif table not in optional_tables() -%}
      {%- do exceptions.raise_compiler_error(
        source("tap_intercom", table) ~ " does not exist: select the stream " ~ table
        ~ ", load it, and check the variable tap_intercom_schema"
      ) -%}
    {%- endif -%}
  {%- endif -%}
  {%- do return(types) -%}
{% endmacro %}

{% macro optional_tables() %}
  {%- do return(["articles", "article_statistics", "collections", "help_centers", "deletions"]) -%}
{% endmacro %}

{# The rows of a table, of one workspace if tap_intercom_workspace names one. #}
{% macro loaded(table) %}
  {%- set relation = source("tap_intercom", table) -%}
  {%- set types = column_types(table) -%}
  {%- set workspace = var("tap_intercom_workspace") -%}
  {%- if not types -%}
    (select null as missing where false)
  {%- elif workspace and "_sdc_workspace_id" in types -%}
    (select * from {{ relation }} where _sdc_workspace_id = {{ dbt.string_literal(workspace) }})
  {%- else -%}
    {{ relation }}
  {%- endif -%}
{% endmacro %}

{# A column of a loaded table, as one of the kinds of sql_type; null if the column is missing. #}
{% macro value(table, column, kind="text") %}
  {%- set type = column_types(table).get(column) -%}
  {%- if type is none -%}
    cast(null as {{ sql_type(kind) }})
  {%- else -%}
    {{ as_kind(table ~ "." ~ adapter.quote(column), kind, type) }}
  {%- endif -%}
{% endmacro %}

{# A value inside a column with an object, by the names that lead to it. #}
{% macro field(table, column, path, kind="text") %}
  {%- set type = column_types(table).get(column) -%}
  {%- if type is none -%}
    cast(null as {{ sql_type(kind) }})
  {%- else -%}
    {{ as_kind(json_text(as_json(table, column), path), kind, "text") }}
  {%- endif -%}
{% endmacro %}

{# An id of which Intercom says 0 for none. #}
{% macro id_or_null(table, column) -%}
  nullif({{ value(table, column) }}, '0')
{%- endmacro %}

{% macro sql_type(kind) %}
  {%- set types = {
    "text": dbt.type_string(),
    "timestamp": dbt.type_timestamp(),
    "integer": dbt.type_bigint(),
    "number": dbt.type_float(),
    "boolean": dbt.type_boolean(),
  } -%}
  {%- do return(types[kind]) -%}
{% endmacro %}

{# All timestamps are UTC without a time zone. A column with a time zone is converted first, as is
   text, which may end with an offset. #}
{% macro as_kind(expression, kind, type) %}
  {%- if kind == "timestamp" and (type == "text" or "char" in type) -%}
    cast(cast({{ expression }} as timestamp with time zone) at time zone 'UTC' as {{ sql_type(kind) }})
  {%- elif kind == "timestamp" and type.endswith("with time zone") -%}
    cast({{ expression }} at time zone 'UTC' as {{ sql_type(kind) }})
  {%- else -%}
    cast({{ expression }} as {{ sql_type(kind) }})
  {%- endif -%}
{% endmacro %}

{# Custom attributes as columns, as Fivetran names them. A value that does not fit its column is in
   other_attributes. #}
{% macro custom_columns(table, attributes) %}
  {%- for attribute in attributes %}
    {%- set name = attribute if attribute is string else attribute.name %}
    {%- set kind = "text" if attribute is string else attribute.get("type", "text") %}
  coalesce(
    {{ field(table, "custom_attributes", [name], kind) }},
    {{ field(table, "other_attributes", [name]) if kind == "text" else "null" }}
  ) as {{ adapter.quote(custom_name(name)) }},
  {%- endfor %}
{% endmacro %}

{% macro custom_name(name) %}
  {%- do return("custom_" ~ modules.re.sub("[^a-z0-9]+", "_", name | lower)) -%}
{% endmacro %}
