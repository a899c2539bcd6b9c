-- One row per conversation that a contact began, with the first message of a teammate to the contact.
with messages as (
  select *
  from {{ ref("conversation_part_history") }}
  where part_type not like 'note%'
    and author_type = 'admin'
    and coalesce(body, '') <> ''
)

select
  conversations.id as conversation_id,
  coalesce(team.name, 'No team') as team_name,
  {{ week_of("conversations.created_at") }} as week,
  conversations.created_at,
  min(messages.created_at) as first_response_at,
  {{ minutes_between("conversations.created_at", "min(messages.created_at)") }} as minutes_to_response
from {{ ref("conversation_history") }} as conversations
left join {{ ref("team") }} as team on team.id = conversations.team_assignee_id
left join messages
  on messages.conversation_id = conversations.id
  and messages.created_at >= conversations.created_at
where conversations._fivetran_active
  and conversations.source_author_type in ('user', 'lead', 'contact')
group by conversations.id, team.name, conversations.created_at
