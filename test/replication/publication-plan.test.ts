import { describe, expect, test } from 'vitest'
import {
  type CurrentPublication,
  publicationPlan,
  type WantedTable,
} from '../../src/capture/replication/publication-plan.js'

const items: WantedTable = { schema: 'public', name: 'items', columns: null }
const narrow: WantedTable = { ...items, columns: ['id', 'title'] }
const fit: CurrentPublication = {
  allTables: false,
  schemas: [],
  viaPartitionRoot: true,
  allOperations: true,
  tables: [{ ...items, filtered: false }],
}
const sql = (current: CurrentPublication | null, ...tables: WantedTable[]): string[] =>
  publicationPlan(current, { name: 'safetykit', tables }).steps.map((step) => step.sql)

describe('the plan for a publication', () => {
  test('creates it, with column lists only where they are asked for', () => {
    expect(sql(null, items, { schema: 'Shop', name: 'My "Table"', columns: ['id', 'Price'] })).toEqual([
      `CREATE PUBLICATION "safetykit" FOR TABLE ONLY "public"."items", ONLY "Shop"."My ""Table""" ("id", "Price") WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);`,
    ])
  })

  test('changes nothing that fits, in whatever order columns are listed', () => {
    expect(sql(fit, items)).toEqual([])
    expect(sql({ ...fit, tables: [{ ...narrow, filtered: false }] }, { ...items, columns: ['title', 'id'] })).toEqual(
      [],
    )
    expect(sql({ ...fit, allTables: true, tables: [] }, items)).toEqual([])
    expect(sql({ ...fit, schemas: ['public'], tables: [] }, items)).toEqual([])
  })

  test('mends options, drops what is not mapped, adds what is', () => {
    expect(sql({ ...fit, viaPartitionRoot: false }, { ...items, name: 'others' })).toEqual([
      `ALTER PUBLICATION "safetykit" SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);`,
      `ALTER PUBLICATION "safetykit" DROP TABLE ONLY "public"."items";`,
      `ALTER PUBLICATION "safetykit" ADD TABLE ONLY "public"."others";`,
    ])
    expect(sql({ ...fit, allTables: true, allOperations: false, tables: [] }, items)).toHaveLength(1)
  })

  test('replaces a column list that differs, and a row filter', () => {
    const replaced = [
      `ALTER PUBLICATION "safetykit" DROP TABLE ONLY "public"."items";`,
      `ALTER PUBLICATION "safetykit" ADD TABLE ONLY "public"."items" ("id", "title");`,
    ]
    expect(sql(fit, narrow)).toEqual(replaced)
    expect(sql({ ...fit, tables: [{ ...narrow, filtered: true }] }, narrow)).toEqual(replaced)
  })

  test('does not narrow a publication of all tables, which others may use, and says how it is done', () => {
    for (const wide of [
      { ...fit, allTables: true, tables: [] },
      { ...fit, schemas: ['public'], tables: [] },
    ]) {
      const { steps, refusals } = publicationPlan(wide, { name: 'safetykit', tables: [narrow] })
      expect(steps).toEqual([])
      expect(refusals).toEqual([
        expect.objectContaining({
          code: 'PUBLICATION_UNFIT',
          hint: expect.stringContaining('DROP PUBLICATION "safetykit";\nCREATE PUBLICATION'),
        }),
      ])
    }
  })
})
