import { defineConfig } from 'prisma/config'

export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
  // `generate` never connects, and has to work where no database is named.
  datasource: { url: process.env.DATABASE_URL ?? 'postgresql://localhost:5432/marketplace' },
})
