import { expect, onTestFinished, test } from 'vitest'
import { defineSync } from '../../src/sync.js'
import { type Rig, type RigOptions, rigForTest } from '../support/pipeline.js'
import { soon } from '../support/soon.js'

const everyRig = (overrides: Partial<RigOptions> = {}): Promise<Rig> =>
  rigForTest({
    sql: 'CREATE TABLE posts (id int PRIMARY KEY, title text, views int NOT NULL DEFAULT 0)',
    tables: {
      'public.posts': { namespace: 'posts', fields: { title: true }, deliver: 'every', onDelete: 'tombstone' },
    },
    ...overrides,
    settings: { delivery: { retryBaseMs: 10, retryMaxMs: 100, requestTimeoutMs: 1_000 }, ...overrides.settings },
  })

/** The titles that were sent of a row, in order; a tombstone is `null`. */
const titles = (rig: Rig, id: number | string): readonly unknown[] =>
  rig.emulator.history('posts', String(id)).map(({ data }) => ('deleted' in data ? null : data.title))

const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => `v${from + index}`)

async function write(rig: Rig, id: number, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n += 1) await rig.db.query('UPDATE posts SET title = $2 WHERE id = $1', [id, `v${n}`])
}

test('each committed version is sent, in the order of the commits, however slow the API is', async () => {
  const rig = await everyRig()
  rig.emulator.faults.add({ when: { path: 'add' }, do: { latencyMs: 30 } })
  await rig.db.query(`INSERT INTO posts SELECT n, 'v0' FROM generate_series(1, 5) AS n`)
  await Promise.all([1, 2, 3, 4, 5].map((id) => write(rig, id, 1, 30)))
  // Several versions in one transaction were all written; the last one alone was ever seen.
  await rig.db.query(
    `BEGIN; UPDATE posts SET title = 'a' WHERE id = 1; UPDATE posts SET title = 'b' WHERE id = 1; COMMIT`,
  )
  await rig.db.query(`UPDATE posts SET views = 1`)
  await rig.caughtUp()
  expect(titles(rig, 1)).toEqual([...numbered(0, 30), 'a', 'b'])
  for (const id of [2, 3, 4, 5]) expect(titles(rig, id)).toEqual(numbered(0, 30))
  expect(rig.emulator.violations).toEqual([])
})

test('without capture by replication it is refused at once, with what to do', () => {
  for (const capture of ['trigger', undefined] as const) {
    const sync = () =>
      defineSync({
        ...(capture === undefined ? {} : { capture }),
        tables: { 'public.posts': { namespace: 'posts', fields: { title: true }, deliver: 'every' } },
      })
    expect(sync).toThrow(/tables\["public.posts"\].deliver: 'every' only goes with capture `replication`/)
  }
})

test('a version that comes back after another one is sent again, one that changes nothing is not', async () => {
  const rig = await everyRig()
  await rig.db.query(`INSERT INTO posts VALUES (1, 'A')`)
  for (const title of ['B', 'A', 'A', 'B', 'A']) await rig.db.query('UPDATE posts SET title = $1', [title])
  await rig.caughtUp()
  expect(titles(rig, 1)).toEqual(['A', 'B', 'A', 'B', 'A'])
})

test('keys that change and rows that are deleted are versions like others', async () => {
  const rig = await everyRig()
  rig.emulator.faults.add({ when: { path: 'add' }, do: { latencyMs: 50 } })
  await rig.db.query(`INSERT INTO posts VALUES (1, 'A')`)
  await rig.db.query(`UPDATE posts SET id = 2`)
  await rig.db.query(`UPDATE posts SET id = 1, title = 'B'`)
  await rig.db.query(`DELETE FROM posts`)
  await rig.db.query(`INSERT INTO posts VALUES (1, 'B')`)
  await rig.caughtUp()
  expect(titles(rig, 1)).toEqual(['A', null, 'B', null, 'B'])
  expect(titles(rig, 2)).toEqual(['A', null])
})

test('a version that is refused does not stop the later ones', async () => {
  const rig = await everyRig({
    tables: {
      'public.posts': {
        namespace: 'posts',
        fields: { title: true },
        computed: {
          bad: {
            value: (row: { title: string }) => {
              if (row.title === 'v3') throw new Error('no')
              return row.title === 'v5' ? 'x'.repeat(2_000_000) : null
            },
          },
        },
        deliver: 'every',
      },
    },
  })
  rig.emulator.faults.add({ when: { path: 'add' }, do: { latencyMs: 20 } })
  await rig.db.query(`INSERT INTO posts VALUES (1, 'v0')`)
  await write(rig, 1, 1, 8)
  await rig.caughtUp()
  expect(titles(rig, 1)).toEqual(['v0', 'v1', 'v2', 'v4', 'v6', 'v7', 'v8'])
  expect(await rig.side('objects')).toMatchObject([{ state: 'accepted', error: null }])
  expect(rig.logged('warn').filter(({ message }) => message.includes('parked'))).toHaveLength(2)
})

test('one that the API refuses neither', async () => {
  const rig = await everyRig()
  await rig.db.query(`INSERT INTO posts VALUES (1, 'v0'), (2, 'v0')`)
  await rig.caughtUp()
  const refused = rig.emulator.faults.add({ when: { path: 'add', times: 1 }, do: { reject: 422, message: 'no' } })
  await rig.db.query(`UPDATE posts SET title = 'v1' WHERE id = 1`)
  await soon(() => expect(refused.hits).toBe(1))
  await write(rig, 1, 2, 4)
  await rig.caughtUp()
  expect(titles(rig, 1)).toEqual(['v0', 'v2', 'v3', 'v4'])
  expect(await rig.side('objects', `object_id = '1'`)).toMatchObject([{ state: 'accepted' }])
})

test('retries, scans and hints read the row behind the versions that wait', async () => {
  const rig = await everyRig()
  await rig.db.query(`INSERT INTO posts VALUES (1, 'v0')`)
  await rig.caughtUp()
  const slow = rig.emulator.faults.add({ when: { path: 'add' }, do: { latencyMs: 100 } })
  const writing = write(rig, 1, 1, 15)
  for (let n = 0; n < 5; n += 1) {
    await rig.db.query(`INSERT INTO safetykit.dirty (source, key, force) VALUES ('public.posts', '{"id": 1}', true)`)
    rig.pipeline.wake()
  }
  await writing
  await rig.caughtUp()
  slow.remove()
  await soon(async () => expect(await rig.side('dirty')).toEqual([]))
  const sent = titles(rig, 1)
  expect(sent.filter((title, index) => title !== sent[index - 1])).toEqual(numbered(0, 15))
  expect(sent.at(-1)).toBe('v15')
})

test('many versions of one row pause the stream rather than fill the memory', async () => {
  const rig = await everyRig({ settings: { maxPendingBytes: 256 * 1024, delivery: { maxBatchAgeMs: 1 } } })
  const slow = rig.emulator.faults.add({ when: { path: 'add' }, do: { latencyMs: 1_000 } })
  await rig.db.query(`INSERT INTO posts VALUES (1, 'v0')`)
  await rig.db.query(
    `DO $$ BEGIN FOR n IN 1..500 LOOP UPDATE posts SET title = 'v' || n || repeat('x', 2000); END LOOP; END $$`,
  )
  let most = 0
  await soon(() => expect(rig.pipeline.measures().pendingBytes).toBeGreaterThan(256 * 1024))
  const watch = setInterval(() => {
    most = Math.max(most, rig.pipeline.measures().pendingBytes)
  }, 2)
  onTestFinished(() => clearInterval(watch))
  slow.remove()
  await rig.caughtUp()
  expect(most).toBeLessThan(768 * 1024)
  const sent = titles(rig, 1).map((title) => /^v\d+/.exec(String(title))?.[0])
  expect(sent).toEqual(numbered(0, 500))
})

test('values that an update leaves alone and the WAL does not hold are read; with a full identity they are exact', async () => {
  const long = (letter: string): string =>
    `repeat('${letter}', 1000) || (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 300) AS n)`
  const rig = await everyRig({
    sql: `CREATE TABLE posts (id int PRIMARY KEY, title text, body text); ALTER TABLE posts REPLICA IDENTITY FULL;
      CREATE TABLE notes (id int PRIMARY KEY, title text, body text)`,
    tables: {
      'public.posts': { namespace: 'posts', fields: { title: true, body: true }, deliver: 'every' },
      'public.notes': { namespace: 'notes', fields: { title: true, body: true }, deliver: 'every' },
    },
  })
  const told = rig.logged('warn').filter(({ message }) => message.includes('deliver'))
  expect(told).toMatchObject([{ fields: { source: 'public.notes', columns: ['title', 'body'] } }])
  rig.emulator.faults.add({ when: { path: 'add' }, do: { latencyMs: 30 } })
  for (const table of ['posts', 'notes']) {
    await rig.db.query(`INSERT INTO ${table} SELECT 1, 'v0', ${long('a')}`)
    for (let n = 1; n <= 10; n += 1) await rig.db.query(`UPDATE ${table} SET title = 'v${n}'`)
    await rig.db.query(`UPDATE ${table} SET title = 'v11', body = ${long('b')}`)
  }
  await rig.caughtUp()
  const posts = rig.emulator.history('posts', '1').map(({ data }) => `${data.title} ${String(data.body).slice(0, 1)}`)
  expect(posts).toEqual([...numbered(0, 10).map((title) => `${title} a`), 'v11 b'])
  // Read, so that the newest may come in the place of one before it; never an older one after a newer one.
  const notes = rig.emulator.history('notes', '1').map(({ data }) => Number(String(data.title).slice(1)))
  expect(notes).toEqual([...notes].sort((a, b) => a - b))
  expect(notes.at(-1)).toBe(11)
})
