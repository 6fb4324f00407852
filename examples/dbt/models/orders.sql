select id as order_id, customer_id, cast(ordered_on as date) as order_date, channel, amount
from {{ ref('raw_orders') }}
where status <> 'cancelled'
