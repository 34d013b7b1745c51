CREATE TABLE "api_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"prefix" text NOT NULL,
	"hash" text NOT NULL,
	"scopes" text[] NOT NULL,
	"project_ids" text[],
	"cluster_id" text,
	"created_by" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone,
	"revoked_at" timestamp (3) with time zone,
	CONSTRAINT "api_keys_prefix" UNIQUE("prefix")
);
--> statement-breakpoint
CREATE TABLE "attempts" (
	"task_id" text NOT NULL,
	"n" integer NOT NULL,
	"cluster_id" text NOT NULL,
	"pod" text NOT NULL,
	"claim_id" text NOT NULL,
	"status" text NOT NULL,
	"leased_at" timestamp (3) with time zone NOT NULL,
	"started_at" timestamp (3) with time zone,
	"ended_at" timestamp (3) with time zone,
	"exit_code" integer,
	"error_code" text,
	CONSTRAINT "attempts_task_id_n_pk" PRIMARY KEY("task_id","n"),
	CONSTRAINT "attempts_n" CHECK ("attempts"."n" > 0),
	CONSTRAINT "attempts_status" CHECK ("attempts"."status" in ('leased', 'running', 'succeeded', 'failed', 'cancelled', 'timed_out', 'lost', 'requeued')),
	CONSTRAINT "attempts_ended" CHECK (("attempts"."ended_at" is null) = ("attempts"."status" in ('leased', 'running')))
);
--> statement-breakpoint
CREATE TABLE "clusters" (
	"id" text PRIMARY KEY NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "projects" (
	"id" text PRIMARY KEY NOT NULL,
	"cluster_id" text NOT NULL,
	"pod" text,
	"max_running" integer DEFAULT 4 NOT NULL,
	"allow_bypass_permissions" boolean DEFAULT false NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "projects_max_running" CHECK ("projects"."max_running" >= 0)
);
--> statement-breakpoint
CREATE TABLE "sessions" (
	"id" text PRIMARY KEY NOT NULL,
	"project_id" text NOT NULL,
	"provider" text NOT NULL,
	"provider_session_id" text,
	"pod" text,
	"last_task_id" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "tasks" (
	"id" text PRIMARY KEY NOT NULL,
	"project_id" text NOT NULL,
	"session_id" text,
	"kind" text NOT NULL,
	"target" text NOT NULL,
	"priority" integer NOT NULL,
	"timeout_s" double precision NOT NULL,
	"spec" json NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"cluster_id" text NOT NULL,
	"lane" text NOT NULL,
	"status" text NOT NULL,
	"attempt" integer DEFAULT 0 NOT NULL,
	"run_after" timestamp (3) with time zone NOT NULL,
	"queue_deadline_at" timestamp (3) with time zone,
	"pod" text,
	"lease_until" timestamp (3) with time zone,
	"claim_id" text,
	"cancel_requested_at" timestamp (3) with time zone,
	"started_at" timestamp (3) with time zone,
	"finished_at" timestamp (3) with time zone,
	"exit_code" integer,
	"result" text,
	"error_code" text,
	"error" text,
	"usage" json,
	"cost_usd" double precision,
	CONSTRAINT "tasks_status" CHECK ("tasks"."status" in ('queued', 'leased', 'running', 'succeeded', 'failed', 'cancelled', 'timed_out', 'lost')),
	CONSTRAINT "tasks_kind" CHECK ("tasks"."kind" in ('agent', 'shell', 'git')),
	CONSTRAINT "tasks_target" CHECK ("tasks"."target" in ('project', 'pool')),
	CONSTRAINT "tasks_attempt" CHECK ("tasks"."attempt" >= 0),
	CONSTRAINT "tasks_priority" CHECK ("tasks"."priority" between 0 and 1000),
	CONSTRAINT "tasks_timeout" CHECK ("tasks"."timeout_s" between 1 and 86400),
	CONSTRAINT "tasks_finished" CHECK (("tasks"."finished_at" is not null) = ("tasks"."status" in ('succeeded', 'failed', 'cancelled', 'timed_out', 'lost'))),
	CONSTRAINT "tasks_leased" CHECK (("tasks"."lease_until" is not null) = ("tasks"."status" in ('leased', 'running'))),
	CONSTRAINT "tasks_live" CHECK (not "tasks"."status" in ('leased', 'running') or ("tasks"."attempt" > 0 and "tasks"."pod" is not null and "tasks"."claim_id" is not null)),
	CONSTRAINT "tasks_running" CHECK ("tasks"."status" <> 'running' or "tasks"."started_at" is not null)
);
--> statement-breakpoint
ALTER TABLE "attempts" ADD CONSTRAINT "attempts_task_id_tasks_id_fk" FOREIGN KEY ("task_id") REFERENCES "public"."tasks"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "projects" ADD CONSTRAINT "projects_cluster_id_clusters_id_fk" FOREIGN KEY ("cluster_id") REFERENCES "public"."clusters"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_project_id_projects_id_fk" FOREIGN KEY ("project_id") REFERENCES "public"."projects"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_project_id_projects_id_fk" FOREIGN KEY ("project_id") REFERENCES "public"."projects"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_session_id_sessions_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."sessions"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_cluster_id_clusters_id_fk" FOREIGN KEY ("cluster_id") REFERENCES "public"."clusters"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "attempts_claim" ON "attempts" USING btree ("claim_id");--> statement-breakpoint
CREATE INDEX "projects_cluster" ON "projects" USING btree ("cluster_id");--> statement-breakpoint
CREATE INDEX "sessions_project" ON "sessions" USING btree ("project_id","id");--> statement-breakpoint
CREATE INDEX "tasks_queued_lane" ON "tasks" USING btree ("project_id","priority","run_after","id") WHERE "tasks"."status" = 'queued';--> statement-breakpoint
CREATE INDEX "tasks_queued_session" ON "tasks" USING btree ("session_id","priority","run_after","id") WHERE "tasks"."status" = 'queued' and "tasks"."session_id" is not null;--> statement-breakpoint
CREATE INDEX "tasks_queued_cluster" ON "tasks" USING btree ("cluster_id","run_after") WHERE "tasks"."status" = 'queued';--> statement-breakpoint
CREATE INDEX "tasks_queued_deadline" ON "tasks" USING btree ("cluster_id","queue_deadline_at") WHERE "tasks"."status" = 'queued' and "tasks"."queue_deadline_at" is not null;--> statement-breakpoint
CREATE INDEX "tasks_live_cluster" ON "tasks" USING btree ("cluster_id") WHERE "tasks"."status" in ('leased', 'running');--> statement-breakpoint
CREATE INDEX "tasks_live_project" ON "tasks" USING btree ("project_id") WHERE "tasks"."status" in ('leased', 'running');--> statement-breakpoint
CREATE UNIQUE INDEX "tasks_live_session" ON "tasks" USING btree ("session_id") WHERE "tasks"."status" in ('leased', 'running');--> statement-breakpoint
CREATE INDEX "tasks_project" ON "tasks" USING btree ("project_id","id");--> statement-breakpoint
CREATE INDEX "tasks_session" ON "tasks" USING btree ("session_id","id") WHERE "tasks"."session_id" is not null;