{# What a target loaded. Targets differ in the types of columns, in the columns beside those of the
   tap, and a table is missing if its stream was not selected. Only this file and json.sql know. #}

{# A table of the tap: its name; its rows, to write after a from with this name; and the type of each
   column. An optional table that is missing has neither rows nor columns. #}
{% macro loaded(name) %}
  {%- set relation = source("tap_intercom", name) -%}
  {%- set types = column_types(relation) -%}
  {%- set workspace = var("tap_intercom_workspace") -%}
  {%- if execute and not types and not is_optional(name) -%}
    {%- do exceptions.raise_compiler_error(
      relation ~ " does not exist: select the stream " ~ name
      ~ ", load it, and check the variable tap_intercom_schema"
    ) -%}
  {%- elif not types -%}
    {%- set rows = "(select null as missing where false)" -%}
  {%- elif workspace and "_sdc_workspace_id" in types -%}
    {%- set rows = "(select * from " ~ relation
      ~ " where _sdc_workspace_id = " ~ dbt.string_literal(workspace) ~ ")" -%}
  {%- else -%}
    {%- set rows = relation -%}
  {%- endif -%}
  {%- do return({"name": name, "rows": rows, "types": types}) -%}
{% endmacro %}

{% macro is_optional(name) %}
  {%- do return(
    name in ["articles", "article_statistics", "collections", "help_centers", "deletions"]
  ) -%}
{% endmacro %}

{# The type of each column, by name. #}
{% macro column_types(relation) %}
  {%- set types = {} -%}
  {%- set found = load_relation(relation) if execute else none -%}
  {%- if found is not none -%}
    {%- for column in adapter.get_columns_in_relation(found) -%}
      {%- do types.update({column.name: column.data_type | lower}) -%}
    {%- endfor -%}
  {%- endif -%}
  {%- do return(types) -%}
{% endmacro %}

{# A column of a loaded table, as one of the kinds of sql_type; null if the column is missing. #}
{% macro value(table, column, kind="text") %}
  {%- if column in table.types -%}
    {%- do return(as_kind(table.name ~ "." ~ adapter.quote(column), kind, table.types[column])) -%}
  {%- endif -%}
  {%- do return("cast(null as " ~ sql_type(kind) ~ ")") -%}
{% endmacro %}

{# A value inside a column with an object, by the names that lead to it. #}
{% macro field(table, column, path, kind="text") %}
  {%- if column in table.types -%}
    {%- do return(as_kind(json_text(as_json(table, column), path), kind, "text")) -%}
  {%- endif -%}
  {%- do return("cast(null as " ~ sql_type(kind) ~ ")") -%}
{% endmacro %}

{# An id of which Intercom says 0 for none. #}
{% macro id_or_null(table, column) %}
  {%- do return("nullif(" ~ value(table, column) ~ ", '0')") -%}
{% endmacro %}

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
  {%- if kind == "timestamp" and is_text(type) -%}
    {%- set expression = "cast(" ~ expression ~ " as timestamp with time zone) at time zone 'UTC'" -%}
  {%- elif kind == "timestamp" and type.endswith("with time zone") -%}
    {%- set expression = expression ~ " at time zone 'UTC'" -%}
  {%- endif -%}
  {%- do return("cast(" ~ expression ~ " as " ~ sql_type(kind) ~ ")") -%}
{% endmacro %}

{% macro is_text(type) %}
  {%- do return(type == "text" or "char" in type) -%}
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
  ) as {{ adapter.quote("custom_" ~ modules.re.sub("[^a-z0-9]+", "_", name | lower)) }},
  {%- endfor %}
{% endmacro %}
