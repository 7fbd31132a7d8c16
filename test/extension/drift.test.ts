import { expect, test } from 'vitest'
import { migrate } from '../../src/pipeline.js'
import { connect } from '../scenarios/clients.js'
import { createScenarioDatabase } from '../scenarios/database.js'
import { scenarioSync } from '../scenarios/sync.js'
import { createDatabase } from '../support/postgres.js'
import { applyMigrations } from '../support/prisma.js'
import { pushSchema } from '../support/schema-engine.js'

const inSync = 'The database is already in sync with the Prisma schema.'

const triggersSql = `SELECT tgrelid::regclass::text AS table, tgname AS name FROM pg_trigger
  WHERE NOT tgisinternal ORDER BY 1, 2`

test.each(['trigger', 'client', 'replication'] as const)('Prisma sees no drift, capture: %s', async (capture) => {
  const database = await createScenarioDatabase()
  try {
    const { resolved } = scenarioSync(connect('7', database.url).prisma, { capture, slot: { name: database.db.name } })
    await migrate({ resolved, databaseUrl: database.url })
    const triggers = (await database.db.query(triggersSql)).rows
    expect(triggers.length > 0).toBe(capture === 'trigger')

    expect(await pushSchema(database.url, 'scenarios')).toContain(inSync)
    expect((await database.db.query(triggersSql)).rows).toEqual(triggers)

    // It would see what is not in the schema: a column more, and gives it up.
    await database.db.query('ALTER TABLE "Tag" ADD COLUMN "intruder" TEXT')
    expect(await pushSchema(database.url, 'scenarios')).not.toContain(inSync)
    const column = `SELECT FROM information_schema.columns WHERE column_name = 'intruder'`
    expect((await database.db.query(column)).rowCount).toBe(0)
    expect((await database.db.query(triggersSql)).rows).toEqual(triggers)
  } finally {
    await database.drop()
  }
})

test('the SQL that is written by hand fits the Prisma schema of the marketplace', async () => {
  const db = await createDatabase()
  try {
    await applyMigrations(db.url)
    expect(await pushSchema(db.url, 'marketplace')).toContain(inSync)
  } finally {
    await db.drop()
  }
})
