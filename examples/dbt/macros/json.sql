{# Access to columns with objects and lists. DuckDB has JSON or text there. PostgreSQL has jsonb,
   text, or an array, as MeltanoLabs' target makes one of a list. #}

{# A column as JSON. #}
{% macro as_json(table, column) %}
  {%- set expression = table.name ~ "." ~ adapter.quote(column) -%}
  {%- if is_text(table.types[column]) -%}
    {%- do return("cast(" ~ expression ~ " as " ~ json_type() ~ ")") -%}
  {%- elif target.type == "postgres" -%}
    {%- do return("to_jsonb(" ~ expression ~ ")") -%}
  {%- else -%}
    {%- do return(expression) -%}
  {%- endif -%}
{% endmacro %}

{% macro json_type() %}
  {%- do return("jsonb" if target.type == "postgres" else "json") -%}
{% endmacro %}

{# The text of a JSON value, by the names that lead to it; without names, of the value itself. #}
{% macro json_text(json, path=[]) %}
  {%- set steps = [json] -%}
  {%- for name in path -%}
    {%- do steps.append("->>" if loop.last else "->") -%}
    {%- do steps.append(dbt.string_literal(name)) -%}
  {%- else -%}
    {%- do steps.append("#>> '{}'" if target.type == "postgres" else "->> '$'") -%}
  {%- endfor -%}
  {%- do return("(" ~ steps | join(" ") ~ ")") -%}
{% endmacro %}

{# One row for each entry of a list: to write after the table, as list.entry. #}
{% macro entries(table, column) %}
  {%- if column not in table.types -%}
    cross join (select cast(null as {{ json_type() }}) as entry where false) as list
  {%- elif target.type == "postgres" -%}
    {%- set json = as_json(table, column) -%}
    cross join lateral jsonb_array_elements(
      case when jsonb_typeof({{ json }}) = 'array' then {{ json }} end
    ) as list(entry)
  {%- else -%}
    cross join unnest(cast({{ as_json(table, column) }} as json[])) as list(entry)
  {%- endif -%}
{% endmacro %}

{# The text of list.entry, or of a value inside it. #}
{% macro entry(path=[]) %}
  {%- do return("cast(" ~ json_text("list.entry", path) ~ " as " ~ dbt.type_string() ~ ")") -%}
{% endmacro %}

{# The text of the last entry of a list of ids; null if the list is empty. #}
{% macro last_entry(table, column) %}
  {%- set entry = "null" -%}
  {%- if column in table.types -%}
    {%- set last = "#>> '{-1}'" if target.type == "postgres" else "->> '$[#-1]'" -%}
    {%- set entry = as_json(table, column) ~ " " ~ last -%}
  {%- endif -%}
  {%- do return("cast(" ~ entry ~ " as " ~ dbt.type_string() ~ ")") -%}
{% endmacro %}
