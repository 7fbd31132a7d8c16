import { describe, expect, it } from 'vitest'
import { Prisma } from '../../prisma/generated/client/client.js'
import { enumValues } from '../../src/capture/client/enum-values.js'
import { type ToText, textOf } from '../../src/capture/client/key-text.js'
import { readClientTables } from '../../src/capture/client/read-tables.js'
import { createDatabase } from '../support/postgres.js'

describe('the text of a key', () => {
  it('is what Postgres writes, for every type it is derived for', async () => {
    const cases: readonly (readonly [type: string, value: unknown, literal: string])[] = [
      ['int2', -3, '-3'],
      ['int4', 2147483647, '2147483647'],
      ['int8', 9007199254740993n, '9007199254740993'],
      ['int8', 7, '7'],
      ['text', 'ä "q" \\ \n', 'ä "q" \\ \n'],
      ['varchar(9)', '', ''],
      ['char(4)', 'ab  ', 'ab'],
      ['uuid', '0f0e0d0c-0000-4000-8000-000000000001', '0F0E0D0C-0000-4000-8000-000000000001'],
      ['inet', '10.0.0.1', '10.0.0.1/32'],
      ['varbit', '101', '101'],
      ['bool', true, 'yes'],
      ['bool', false, 'no'],
      ['bytea', new Uint8Array([0, 255, 16]), '\\x00ff10'],
      ['numeric(12,2)', new Prisma.Decimal('12.5'), '12.5'],
      ['numeric(12,2)', new Prisma.Decimal('-0.1'), '-.1'],
      ['numeric(30,0)', new Prisma.Decimal('123456789012345678901234567890'), '123456789012345678901234567890'],
      ['numeric(5)', new Prisma.Decimal('7'), '7'],
      ['date', new Date('2024-02-29T00:00:00Z'), '2024-02-29'],
      ['timestamp(3)', new Date('2024-02-29T01:02:03.450Z'), '2024-02-29 01:02:03.45'],
      ['timestamp(3)', new Date('0099-02-28T01:02:03Z'), '0099-02-28 01:02:03'],
      ['timestamptz(3)', new Date('2024-02-29T01:02:03.004Z'), '2024-02-29 01:02:03.004+00'],
      ['timestamptz(0)', new Date('1969-12-31T23:59:59Z'), '1969-12-31 23:59:59+00'],
      ['time(3)', new Date('1970-01-01T12:00:00.120Z'), '12:00:00.12'],
      ['mood', 'sad', 'un-happy'],
      ['mood', 'ok', 'ok'],
      ['positive', 5, '5'],
      ['price', new Prisma.Decimal('1'), '1'],
    ]
    const hard: readonly (readonly [type: string, value: unknown])[] = [
      ['float8', 1.5],
      ['numeric', new Prisma.Decimal('1')],
      ['timestamp', new Date()],
      ['timestamptz(6)', new Date()],
      ['timetz', new Date()],
      ['int4[]', [1]],
      ['jsonb', {}],
      ['mood', 'gone'],
      ['timestamp(3)', new Date('+012024-02-29T01:02:03Z')],
      ['int8', Number.MAX_VALUE],
    ]
    const types = [...cases, ...hard].map(([type]) => type)
    const db = await createDatabase({
      sql: `CREATE TYPE mood AS ENUM ('un-happy', 'ok'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
        CREATE DOMAIN price AS numeric(8,3); SET TimeZone = 'UTC';
        CREATE TABLE t (${types.map((type, index) => `c${index} ${type}`).join()})`,
    })
    try {
      const keyColumns = types.map((_, index) => `c${index}`)
      const mapped = { schema: 'public', name: 't', keyColumns, tombstone: false }
      const { tables } = await readClientTables(db.pool, { tables: [mapped], defaultSchema: 'public' })
      const values = enumValues('enum Mood {\n  sad @map("un-happy")\n  ok\n}').get('Mood')
      const texts = tables[0]!.keyColumns.map((column): ToText | undefined => textOf(column, values))
      const session = await db.client()
      await session.query("SET TimeZone = 'UTC'")
      for (const [index, [type, value, literal]] of cases.entries()) {
        const { rows } = await session.query(`SELECT format('%s', $1::text::${type}) AS text`, [literal])
        expect([type, texts[index]?.(value)]).toEqual([type, rows[0].text])
      }
      for (const [index, [type, value]] of hard.entries()) {
        expect([type, texts[cases.length + index]?.(value)]).toEqual([type, undefined])
      }
    } finally {
      await db.drop()
    }
  })

  it("finds an enum's words in the schema", () => {
    const schema = `
      /// enum Not { A }
      enum Reason {
        SPAM        @map("spam") // a comment with @map("x")
        UNSAFE_ITEM @map(name: "un\\"safe")
        PLAIN // @map("no")
        @@map("report_reason")
      }
      model Reason2 { id Int @id @map("x") }`
    const values = enumValues(schema)
    expect([...(values.get('Reason') ?? [])]).toEqual([
      ['SPAM', 'spam'],
      ['UNSAFE_ITEM', 'un"safe'],
      ['PLAIN', 'PLAIN'],
    ])
    expect([...values.keys()]).toEqual(['Reason'])
  })
})

it('reads foreign keys, views and partitions', async () => {
  const db = await createDatabase({
    sql: `
      CREATE TABLE a (id int PRIMARY KEY, x int UNIQUE);
      CREATE TABLE b (id int PRIMARY KEY, a int UNIQUE REFERENCES a ON DELETE SET NULL ON UPDATE CASCADE, ax int REFERENCES a (x) ON DELETE CASCADE);
      CREATE TABLE c (id int, at date, b int REFERENCES b, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
      CREATE TABLE c_2024 PARTITION OF c FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
      CREATE VIEW v AS SELECT * FROM a; CREATE VIEW w AS SELECT v.id FROM v JOIN b USING (id)`,
  })
  try {
    const found = await readClientTables(db.pool, { tables: [], defaultSchema: 'public' })
    expect(found.foreignKeys).toEqual(
      expect.arrayContaining([
        {
          child: 'public.b',
          childColumns: ['a'],
          childUnique: true,
          parent: 'public.a',
          parentColumns: ['id'],
          onDelete: 'set',
          onUpdate: 'cascade',
        },
        {
          child: 'public.b',
          childColumns: ['ax'],
          childUnique: false,
          parent: 'public.a',
          parentColumns: ['x'],
          onDelete: 'cascade',
          onUpdate: 'none',
        },
        {
          child: 'public.c',
          childColumns: ['b'],
          childUnique: false,
          parent: 'public.b',
          parentColumns: ['id'],
          onDelete: 'none',
          onUpdate: 'none',
        },
      ]),
    )
    expect(found.foreignKeys).toHaveLength(3)
    const writes = new Map(found.relations.map((relation) => [relation.name, relation.writes]))
    expect(writes.get('a')).toEqual(['public.a'])
    expect(writes.get('c_2024')).toEqual(['public.c', 'public.c_2024'])
    expect(writes.get('w')).toEqual(['public.a', 'public.b', 'public.v', 'public.w'])
  } finally {
    await db.drop()
  }
})
