{# Ids are unique within a workspace only. If a target loads several into the same tables, the variable
   tap_intercom_workspace must choose one. #}
{% set conversations = loaded("conversations") %}
{% set is_chosen = var("tap_intercom_workspace") is not none %}
{% if is_chosen or "_sdc_workspace_id" not in conversations.types %}
select 1 as workspaces from {{ conversations.rows }} as conversations where false
{% else %}
select count(distinct _sdc_workspace_id) as workspaces
from {{ conversations.rows }} as conversations
having count(distinct _sdc_workspace_id) > 1
{% endif %}
