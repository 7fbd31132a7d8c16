import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { scenarios } from './all.js'
import { type Connected, connect } from './clients.js'
import { createScenarioDatabase, type ScenarioDatabase } from './database.js'
import { describeResult, steadyRows } from './describe-result.js'

describe.each(['6.19', '7'] as const)('Prisma %s', (version) => {
  let database: ScenarioDatabase
  let connected: Connected
  beforeAll(async () => {
    database = await createScenarioDatabase()
    connected = connect(version, database.url)
  })
  afterAll(async () => {
    await connected.prisma.$disconnect()
    await database.drop()
  })
  for (const [group, ofGroup] of Object.entries(scenarios)) {
    describe(group, () => {
      for (const [name, scenario] of Object.entries(ofGroup)) {
        if (scenario.only !== undefined && scenario.only !== version) continue
        it(name, async () => {
          await database.reset()
          const before = await database.contents()
          const first = await describeResult(() => scenario.run({ ...connected, other: database.other }))
          const firstRows = steadyRows(await database.contents())
          await database.reset()
          expect(await database.contents()).toEqual(before)
          const second = await describeResult(() => scenario.run({ ...connected, other: database.other }))
          expect(second).toEqual(first)
          expect(steadyRows(await database.contents())).toEqual(firstRows)
          if (process.env.SHOW) console.log(name, first.looks)
        })
      }
    })
  }
})
