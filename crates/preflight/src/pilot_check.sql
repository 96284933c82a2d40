-- For each pilot org: rows in legacy, rows in the twin, delta (the handbook wants < 10; cutover diff wants not one).
SELECT 'revenue' AS table_name, coalesce(l.org_id, p.org_id) AS org_id,
       coalesce(l.n, 0) AS legacy_count, coalesce(p.n, 0) AS partition_count,
       coalesce(l.n, 0) - coalesce(p.n, 0) AS delta
  FROM (SELECT org_id, count(*) AS n FROM revenue_transactions WHERE org_id IN ($ORGS) GROUP BY org_id) AS l
  FULL JOIN (SELECT org_id, count(*) AS n FROM revenue_transactions_partitioned WHERE org_id IN ($ORGS) GROUP BY org_id) AS p
       USING (org_id)
UNION ALL
SELECT 'expense', coalesce(l.org_id, p.org_id), coalesce(l.n, 0), coalesce(p.n, 0), coalesce(l.n, 0) - coalesce(p.n, 0)
  FROM (SELECT org_id, count(*) AS n FROM expense_transactions WHERE org_id IN ($ORGS) GROUP BY org_id) AS l
  FULL JOIN (SELECT org_id, count(*) AS n FROM expense_transactions_partitioned WHERE org_id IN ($ORGS) GROUP BY org_id) AS p
       USING (org_id)
 ORDER BY 5 DESC, 1, 2;
