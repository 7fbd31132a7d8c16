import { expect, test } from 'vitest'
import { captureForTest } from './rig.js'
import { expected, sorted, type TruthTable, watch } from './truth.js'

const sql = `
  CREATE TABLE events (id integer, day date, title text, views integer DEFAULT 0, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
  CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
  CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (id);
  CREATE TABLE events_2a PARTITION OF events_2 FOR VALUES IN (1, 2, 3);
  CREATE TABLE events_2b PARTITION OF events_2 DEFAULT;
  CREATE TABLE waiting (id integer NOT NULL, day date NOT NULL, title text, views integer DEFAULT 0, PRIMARY KEY (id, day))`
const mapping = { namespace: 'events', fields: { title: true }, onDelete: 'tombstone' }
const tables = { 'public.events': mapping }
const truth: readonly TruthTable[] = [
  { table: 'public.events', key: ['id', 'day'], columns: ['title'], tombstone: true },
]

test.each([
  ['an insert into the table', "INSERT INTO events VALUES (10, '2026-01-10', 'a'), (1, '2026-02-10', 'b')"],
  ['an insert into a partition', "INSERT INTO events_1 VALUES (10, '2026-01-10', 'a')"],
  [
    'an insert into a partition of a partition',
    "INSERT INTO events_2 VALUES (10, '2026-02-10', 'a'), (3, '2026-02-11', 'a')",
  ],
  [
    'a copy into a leaf',
    `COPY events_2b (id, day) FROM PROGRAM 'printf "50,2026-02-03\\n51,2026-02-04\\n"' WITH (FORMAT csv)`,
  ],
  ['updates', "UPDATE events SET title = 'x'; UPDATE events_1 SET title = 'y'; UPDATE events SET views = 1"],
  ['rows that move', 'UPDATE events SET day = day + 20 WHERE id < 4; UPDATE events SET id = id + 10 WHERE id < 4'],
  ['deletes', 'DELETE FROM events WHERE id = 5; DELETE FROM events_2a; DELETE FROM events_1 WHERE id = 1'],
  [
    'a merge and a conflict',
    `INSERT INTO events VALUES (1, '2026-01-05', 'c'), (9, '2026-01-09', 'd') ON CONFLICT (id, day) DO UPDATE SET title = excluded.title;
     MERGE INTO events e USING (VALUES (1, date '2026-01-05'), (77, date '2026-02-09')) AS s (id, day) ON e.id = s.id AND e.day = s.day
     WHEN MATCHED THEN UPDATE SET title = 'm' WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.day, 'n')`,
  ],
])('partitioned: %s', async (_, write) => {
  const rig = await captureForTest({ sql, tables })
  await rig.db.query(`INSERT INTO events SELECT n, '2026-01-05', 'a' FROM generate_series(1, 5) AS n;
    INSERT INTO events SELECT n, '2026-02-05', 'a' FROM generate_series(1, 5) AS n; TRUNCATE safetykit.dirty`)
  await watch(rig.db, truth)
  const writer = await rig.db.client()
  await writer.query("SET DateStyle = 'German, DMY'")
  await writer.query(write)
  const captured = await rig.captured()
  expect(captured.length).toBeGreaterThan(0)
  expect(sorted(captured)).toEqual(sorted(await expected(rig.db, truth)))
})

test('partitions that come and go', async () => {
  const rig = await captureForTest({ sql, tables })
  await rig.db.query(`ALTER TABLE events ATTACH PARTITION waiting FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
    CREATE TABLE events_4 PARTITION OF events FOR VALUES FROM ('2026-04-01') TO ('2026-05-01')`)
  expect(await rig.check()).toEqual([])
  const of = async (statement: string) => (await rig.during(() => rig.db.query(statement))).map(({ key }) => key?.day)
  expect(await of("INSERT INTO waiting VALUES (1, '2026-03-01')")).toEqual(['2026-03-01'])
  expect(await of("INSERT INTO events VALUES (1, '2026-04-01')")).toEqual(['2026-04-01'])
  await rig.db.query('ALTER TABLE events DETACH PARTITION waiting')
  expect(await of("INSERT INTO waiting VALUES (2, '2026-03-01')")).toEqual([])
  expect(await rig.check()).toEqual([])
})

test('a role that may make partitions, and nothing in the side tables, makes them', async () => {
  const rig = await captureForTest({ sql, tables })
  const role = `maker_${rig.db.name}`
  await rig.db.query(`CREATE ROLE ${role}; GRANT CREATE ON SCHEMA public TO ${role};
    ALTER TABLE events OWNER TO ${role}; ALTER TABLE events_1 OWNER TO ${role}`)
  try {
    await rig.db.query(`BEGIN; SET LOCAL ROLE ${role};
      CREATE TABLE events_5 PARTITION OF events FOR VALUES FROM ('2026-05-01') TO ('2026-06-01'); COMMIT`)
    const captured = await rig.during(() => rig.db.query("INSERT INTO events VALUES (1, '2026-05-01')"))
    expect(captured.map(({ key }) => key?.day)).toEqual(['2026-05-01'])
  } finally {
    await rig.db.query(`REASSIGN OWNED BY ${role} TO current_user; DROP OWNED BY ${role}; DROP ROLE ${role}`)
  }
})

test('a trigger that is disabled on one partition is told, and enabled again', async () => {
  const rig = await captureForTest({ sql, tables })
  await rig.db.query('ALTER TABLE events_2a DISABLE TRIGGER safetykit_insert')
  expect((await rig.check())[0]?.message).toContain('not enabled on all partitions')
  expect(await rig.migrate()).toEqual(['Made the triggers of public.events'])
  expect(await rig.check()).toEqual([])
})

test('a mapped leaf is captured whatever the table that was written to', async () => {
  const rig = await captureForTest({ sql, tables: { 'public.events_1': mapping } })
  const captured = await rig.during(() =>
    rig.db.query(`INSERT INTO events VALUES (1, '2026-01-03', 'a'), (2, '2026-02-03', 'b'); UPDATE events SET title = 'x';
      UPDATE events SET day = '2026-02-20' WHERE id = 1`),
  )
  expect(captured.map(({ key }) => key?.day)).toEqual(['2026-01-03', '2026-01-03', '2026-01-03'])
})

test('a mapped table that becomes a partition: the check tells, migrate mends it', async () => {
  const rig = await captureForTest({ sql, tables: { 'public.waiting': mapping } })
  await rig.db.query("ALTER TABLE events ATTACH PARTITION waiting FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')")
  expect((await rig.check())[0]?.message).toContain('safetykit_insert of public.waiting is another one')
  await rig.migrate()
  expect(await rig.check()).toEqual([])
  const captured = await rig.during(() => rig.db.query("INSERT INTO events VALUES (1, '2026-03-03', 'a')"))
  expect(captured.map(({ key }) => key?.day)).toEqual(['2026-03-03'])
})
