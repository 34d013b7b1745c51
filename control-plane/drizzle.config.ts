// `npm run db:generate` writes the next migration from the schema. Migrations are only ever added: a merged one never changes.
import { defineConfig } from 'drizzle-kit'

export default defineConfig({
  dialect: 'postgresql',
  schema: './control-plane/src/stores/postgres/schema.ts',
  out: './migrations',
})
