-- How many conversations are closed too early? By the week of the first close.
select
  week,
  count(*) as closed,
  count(reopened_at) as reopened,
  100.0 * count(reopened_at) / count(*) as reopened_percent
from {{ ref("reopened_conversations") }}
group by week
