-- How long do contacts wait for the first answer of a teammate? By the week in which they asked.
select
  team_name,
  week,
  count(*) as conversations,
  count(minutes_to_response) as answered,
  {{ median("minutes_to_response") }} as median_minutes
from {{ ref("first_responses") }}
group by team_name, week
