ALTER TABLE "attempts" ADD COLUMN "pod_uid" text;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "pod_uid" text;