{% set articles = loaded("articles") %}
{% set article_statistics = loaded("article_statistics") %}

select
  {{ value(articles, "id") }} as id,
  -- The innermost collection. Intercom has no sections any more.
  coalesce({{ last_entry(articles, "parent_ids") }}, {{ value(articles, "parent_id") }}) as collection_id,
  cast(null as {{ dbt.type_string() }}) as section_id,
  {{ value(articles, "author_id") }} as author_id,
  {{ value(articles, "title") }} as title,
  {{ value(articles, "description") }} as description,
  {{ value(articles, "body") }} as body,
  {{ value(articles, "url") }} as url,
  {{ value(articles, "type") }} as type,
  {{ value(articles, "state") }} as state,
  coalesce(
    {{ value(articles, "parent_type") }},
    case when {{ last_entry(articles, "parent_ids") }} is not null then 'collection' end
  ) as parent_type,
  {{ value(articles, "default_locale") }} as default_locale,
  {{ value(articles, "workspace_id") }} as workspace_id,
  {{ value(articles, "created_at", "timestamp") }} as created_at,
  {{ value(articles, "updated_at", "timestamp") }} as updated_at,
  {{ value(article_statistics, "type") }} as statistics_type,
  {{ value(article_statistics, "views", "integer") }} as statistics_views,
  coalesce(
    {{ value(article_statistics, "conversations", "integer") }},
    {{ value(article_statistics, "conversions", "integer") }}
  ) as statistics_conversations,
  {{ value(article_statistics, "reactions", "integer") }} as statistics_reactions,
  {{ value(article_statistics, "happy_reaction_percentage", "number") }} as statistics_happy_reaction_percentage,
  {{ value(article_statistics, "neutral_reaction_percentage", "number") }} as statistics_neutral_reaction_percentage,
  {{ value(article_statistics, "sad_reaction_percentage", "number") }} as statistics_sad_reaction_percentage,
  {{ fivetran_history(
    value(articles, "updated_at", "timestamp"), value(articles, "_sdc_deleted_at", "timestamp")
  ) }},
  {{ fivetran_synced(articles) }}
from {{ articles.rows }} as articles
left join {{ article_statistics.rows }} as article_statistics
  on {{ value(article_statistics, "article_id") }} = {{ value(articles, "id") }}
