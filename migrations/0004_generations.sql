ALTER TABLE "pools" ALTER COLUMN "vtime" SET DEFAULT 0;--> statement-breakpoint
ALTER TABLE "pools" ADD COLUMN "generation" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "pools" ADD COLUMN "claims" integer DEFAULT 0 NOT NULL;