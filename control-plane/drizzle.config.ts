// `npm run db:generate` writes the next migration from the schema. A merged migration never changes; new ones are added.
import { defineConfig } from 'drizzle-kit'

export default defineConfig({
  dialect: 'postgresql',
  schema: './control-plane/src/stores/postgres/schema.ts',
  out: './migrations',
})
