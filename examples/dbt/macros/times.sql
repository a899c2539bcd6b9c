{# A UTC timestamp as the clocks of tap_intercom_time_zone show it. #}
{% macro local_time(timestamp) %}
  {%- set zone = dbt.string_literal(var("tap_intercom_time_zone")) -%}
  {%- do return("((" ~ timestamp ~ " at time zone 'UTC') at time zone " ~ zone ~ ")") -%}
{% endmacro %}

{# The Monday of the week. #}
{% macro week_of(timestamp) -%}
  cast(date_trunc('week', {{ local_time(timestamp) }}) as date)
{%- endmacro %}

{% macro hour_of(timestamp) -%}
  cast(extract(hour from {{ local_time(timestamp) }}) as integer)
{%- endmacro %}

{% macro minutes_between(start, end) -%}
  cast(extract(epoch from {{ end }} - {{ start }}) / 60.0 as {{ dbt.type_float() }})
{%- endmacro %}

{% macro median(column) -%}
  percentile_cont(0.5) within group (order by {{ column }})
{%- endmacro %}
