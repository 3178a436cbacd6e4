WITH base AS (
  SELECT
    u.user_id,
    DATE_TRUNC(DATE(e.ts), WEEK) AS wk,
    COUNT(*) AS n,
    COUNTIF(e.kind = 'click') AS clicks,
    SAFE_DIVIDE(COUNTIF(e.kind = 'click'), COUNT(*)) AS ctr,
    ARRAY_AGG(e.kind IGNORE NULLS ORDER BY e.ts DESC LIMIT 3) AS last_kinds,
    IFNULL(MAX(e.amount), 0.0) AS max_amount,
    STRING_AGG(DISTINCT e.country, ',' ORDER BY e.country) AS countries
  FROM `proj.ds.events` AS e
  JOIN proj.ds.users u
    ON u.user_id = e.user_id
  WHERE e.ts >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 30 DAY)
    AND e.kind IN ('click', 'view', 'buy')
    AND REGEXP_CONTAINS(e.url, r'^https?://[^/]+/shop/')
  GROUP BY 1, 2
),
ranked AS (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY wk DESC) AS rn,
    LAG(n) OVER (PARTITION BY user_id ORDER BY wk) AS prev_n
  FROM base
)
SELECT
  user_id,
  wk,
  n,
  clicks,
  ROUND(ctr, 3) AS ctr,
  last_kinds[SAFE_OFFSET(0)] AS last_kind,
  CASE
    WHEN n > 100 THEN 'heavy'
    WHEN n > 10 THEN 'medium'
    ELSE 'light'
  END AS segment,
  CAST(max_amount AS INT64) AS max_amount,
  n - IFNULL(prev_n, 0) AS delta,
  EXTRACT(DAYOFWEEK FROM wk) AS dow,
  FORMAT_DATE('%Y-%m', wk) AS month,
  SUBSTR(countries, 1, 2) AS first_country,
  LOWER(TRIM(countries)) AS c2,
  LENGTH(countries) AS c3,
  DATE_DIFF(CURRENT_DATE(), wk, WEEK(MONDAY)) AS age
FROM ranked
WHERE rn = 1
  AND n BETWEEN 1 AND 100000
  AND NOT (clicks IS NULL OR ctr > 1.0)
ORDER BY n DESC, user_id
LIMIT 1000
