import { readdir, readFile } from 'node:fs/promises'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { PrismaClient } from '../../prisma/generated/client/client.js'

const migrations = new URL('../../prisma/migrations/', import.meta.url)

/** Makes the marketplace's tables in an empty database, with SQL alone: Prisma's own way needs a binary to download. */
export async function applyMigrations(target: pg.ClientBase | string): Promise<void> {
  if (typeof target !== 'string') return apply(target)
  const client = new pg.Client({ connectionString: target })
  await client.connect()
  try {
    await apply(client)
  } finally {
    await client.end()
  }
}

async function apply(client: pg.ClientBase): Promise<void> {
  const entries = await readdir(migrations, { withFileTypes: true })
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  for (const name of names.sort()) {
    await client.query(await readFile(new URL(`${name}/migration.sql`, migrations), 'utf8'))
  }
}

/** A client of the marketplace; end it with `$disconnect()`. It connects at its first query. */
export function connectPrisma(url: string): PrismaClient {
  return new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
}
