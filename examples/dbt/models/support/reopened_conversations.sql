-- One row per conversation that was closed, with its first reopening after that, if there was one.
with closed as (
  select conversation_id, min(created_at) as first_closed_at
  from {{ ref("conversation_part_history") }}
  where part_type = 'close' and _fivetran_active
  group by conversation_id
),

reopenings as (
  select
    parts.conversation_id,
    parts.created_at,
    parts.author_type,
    row_number() over (
      partition by parts.conversation_id order by parts.created_at, parts.id
    ) as number
  from {{ ref("conversation_part_history") }} as parts
  join closed
    on closed.conversation_id = parts.conversation_id
    and parts.created_at > closed.first_closed_at
  where parts.part_type = 'open' or parts.part_type like '%reopen%'
)

select
  closed.conversation_id,
  {{ week_of("closed.first_closed_at") }} as week,
  closed.first_closed_at,
  reopenings.created_at as reopened_at,
  reopenings.author_type as reopened_by
from closed
left join reopenings
  on reopenings.conversation_id = closed.conversation_id
  and reopenings.number = 1
