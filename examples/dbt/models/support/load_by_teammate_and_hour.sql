-- Who writes when? Messages of teammates to contacts, by the hour of the day.
select
  admin.id as admin_id,
  admin.name as admin_name,
  {{ hour_of("parts.created_at") }} as hour_of_day,
  count(*) as messages,
  count(distinct parts.conversation_id) as conversations
from {{ ref("conversation_part_history") }} as parts
join {{ ref("admin") }} as admin on admin.id = parts.author_id
where parts._fivetran_active
  and parts.author_type = 'admin'
  and parts.part_type not like 'note%'
  and coalesce(parts.body, '') <> ''
group by admin.id, admin.name, {{ hour_of("parts.created_at") }}
