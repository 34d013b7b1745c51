-- A task's row is written about five times in its life and its lease every 20 s: leave room on the page for updates in place, and vacuum
-- after a few hundred dead rows rather than a fifth of the table.
ALTER TABLE "tasks" SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);--> statement-breakpoint
ALTER TABLE "attempts" SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);--> statement-breakpoint
ALTER TABLE "sessions" SET (fillfactor = 80);--> statement-breakpoint
-- Over HTTP a statement cannot bring its own limit without a transaction around it, so it is the database's. Migrations lift it for themselves.
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = %L', current_database(), '5s'); END $$;
