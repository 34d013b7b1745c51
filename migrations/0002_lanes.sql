CREATE TABLE "idempotency" (
	"caller" text NOT NULL,
	"route" text NOT NULL,
	"key" text NOT NULL,
	"body_hash" text NOT NULL,
	"seed" "bytea" NOT NULL,
	"begun_at" timestamp (3) with time zone NOT NULL,
	"holder" uuid NOT NULL,
	"held_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"status" integer,
	"location" text,
	"body" text,
	CONSTRAINT "idempotency_caller_route_key_pk" PRIMARY KEY("caller","route","key"),
	CONSTRAINT "idempotency_answer" CHECK (("idempotency"."status" is null) = ("idempotency"."body" is null))
);
--> statement-breakpoint
CREATE TABLE "lanes" (
	"project_id" text PRIMARY KEY NOT NULL,
	"vtime" double precision NOT NULL
);
--> statement-breakpoint
CREATE TABLE "pools" (
	"cluster_id" text PRIMARY KEY NOT NULL,
	"vtime" double precision NOT NULL
);
--> statement-breakpoint
DROP INDEX "tasks_queued_lane";--> statement-breakpoint
DROP INDEX "tasks_queued_cluster";--> statement-breakpoint
ALTER TABLE "projects" ADD COLUMN "weight" integer DEFAULT 100 NOT NULL;--> statement-breakpoint
ALTER TABLE "projects" ADD COLUMN "max_queued" integer DEFAULT 100000 NOT NULL;--> statement-breakpoint
ALTER TABLE "projects" ADD COLUMN "paused" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "sessions" ADD COLUMN "workspace" text;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "workspace" text;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "retry_of" text;--> statement-breakpoint
-- What waits or runs from before there were turns held no workspace: a session stands in line, the rest waits for a place of its target.
ALTER TABLE "tasks" ADD COLUMN "turn" text NOT NULL DEFAULT 'project';--> statement-breakpoint
ALTER TABLE "tasks" ALTER COLUMN "turn" DROP DEFAULT;--> statement-breakpoint
UPDATE "tasks" SET "turn" = coalesce("session_id", "target") WHERE "status" IN ('queued', 'leased', 'running');--> statement-breakpoint
ALTER TABLE "lanes" ADD CONSTRAINT "lanes_project_id_projects_id_fk" FOREIGN KEY ("project_id") REFERENCES "public"."projects"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "pools" ADD CONSTRAINT "pools_cluster_id_clusters_id_fk" FOREIGN KEY ("cluster_id") REFERENCES "public"."clusters"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "idempotency_expires" ON "idempotency" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "tasks_queued_turn" ON "tasks" USING btree ("cluster_id","lane","turn","priority","run_after","id") WHERE "tasks"."status" = 'queued';--> statement-breakpoint
CREATE INDEX "tasks_queued_due" ON "tasks" USING btree ("cluster_id","run_after") WHERE "tasks"."status" = 'queued' and "tasks"."project_id" <> '';--> statement-breakpoint
CREATE UNIQUE INDEX "tasks_live_workspace" ON "tasks" USING btree ("project_id","workspace") WHERE "tasks"."status" in ('leased', 'running') and "tasks"."workspace" is not null;--> statement-breakpoint
ALTER TABLE "projects" ADD CONSTRAINT "projects_weight" CHECK ("projects"."weight" between 1 and 1000);--> statement-breakpoint
ALTER TABLE "projects" ADD CONSTRAINT "projects_max_queued" CHECK ("projects"."max_queued" >= 0);