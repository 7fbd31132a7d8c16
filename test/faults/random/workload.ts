import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Random } from './random.js'

/**
 * Every row has a `version` that only grows for its id, whatever becomes of it: drawn from one sequence while the row is
 * locked. An id is inserted, deleted and given to another row by one writer alone, since a new row's version is drawn before
 * anyone waits for the old one's end. Of `posts` each version that was committed stands in `post_versions`.
 */
export const tablesSql = `
  CREATE SEQUENCE versions;
  CREATE TABLE products (
    id integer PRIMARY KEY, title text NOT NULL, body text NOT NULL DEFAULT '', views integer NOT NULL DEFAULT 0,
    version integer NOT NULL DEFAULT nextval('versions'));
  ALTER TABLE products ALTER body SET STORAGE EXTERNAL;
  CREATE TABLE sellers (code text PRIMARY KEY, name text NOT NULL, version integer NOT NULL DEFAULT nextval('versions'));
  CREATE TABLE lines (
    order_id integer, line integer, note text NOT NULL, version integer NOT NULL DEFAULT nextval('versions'),
    PRIMARY KEY (order_id, line));
  CREATE TABLE posts (
    id integer PRIMARY KEY, title text NOT NULL, version integer NOT NULL DEFAULT nextval('versions'));
  CREATE TABLE post_versions (id integer NOT NULL, version integer NOT NULL);
  CREATE FUNCTION note_version() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO post_versions VALUES (NEW.id, NEW.version); RETURN NULL; END $$;
  CREATE TRIGGER note_version AFTER INSERT OR UPDATE ON posts FOR EACH ROW EXECUTE FUNCTION note_version();
  CREATE TABLE unmapped (n serial PRIMARY KEY, text text);`

export const mappedTables = (capture: 'replication' | 'trigger') => ({
  'public.products': {
    namespace: 'products',
    fields: { title: true, body: true, version: true },
    onDelete: 'tombstone',
  },
  'public.sellers': { namespace: 'sellers', fields: { name: true, version: true } },
  'public.lines': { namespace: 'lines', fields: { note: true, version: true }, onDelete: 'tombstone' },
  'public.posts': {
    namespace: 'posts',
    fields: { title: true, version: true },
    onDelete: 'tombstone',
    deliver: capture === 'replication' ? 'every' : 'latest',
  },
})

/** What SafetyKit has to have of each namespace, and whether of nothing else. */
export const expected = {
  products: {
    sql: `SELECT json_build_object('id', id::text, 'title', title, 'body', body, 'version', version) AS object FROM products`,
    tombstones: true,
  },
  sellers: {
    sql: `SELECT json_build_object('id', code, 'name', name, 'version', version) AS object FROM sellers`,
    tombstones: false,
  },
  lines: {
    sql: `SELECT json_build_object('id', order_id || ':' || line, 'note', note, 'version', version) AS object FROM lines`,
    tombstones: true,
  },
  posts: {
    sql: `SELECT json_build_object('id', id::text, 'title', title, 'version', version) AS object FROM posts`,
    tombstones: true,
  },
} as const

const writers = 3
const products = 300
const posts = 60

export interface Load {
  /** Transactions that were committed so far. */
  readonly commits: number
  stop(): Promise<void>
}

/** Writers that go on whatever happens to the server, until they are stopped. */
export function startLoad(url: string, random: Random): Load {
  const stopping = new AbortController()
  const load = { commits: 0 }
  const running = Array.from({ length: writers }, (_, writer) =>
    write(url, random.fork(), { writer, stopping: stopping.signal, load }),
  )
  return {
    get commits() {
      return load.commits
    },
    async stop() {
      stopping.abort()
      await Promise.all(running)
    },
  }
}

interface Writer {
  readonly writer: number
  readonly stopping: AbortSignal
  readonly load: { commits: number }
}

async function write(url: string, random: Random, { writer, stopping, load }: Writer): Promise<void> {
  let client: pg.Client | null = null
  while (!stopping.aborted) {
    try {
      if (client === null) {
        const next = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
        next.on('error', () => {})
        await next.connect()
        client = next
      }
      const statements = Array.from({ length: random.chance(0.25) ? random.between(2, 25) : 1 }, () =>
        statement(random, writer),
      )
      // One message: what it holds is one transaction.
      await client.query(statements.join(';\n'))
      load.commits += 1
    } catch (error) {
      // A deadlock between writers, or a server that is away; any other refusal of a statement would be a mistake here.
      const code = error instanceof pg.DatabaseError ? (error.code ?? '') : ''
      if (code !== '' && !/^(40|57P|53|08|55P03)/.test(code)) throw error
      if (code !== '40P01') {
        await client?.end().catch(() => {})
        client = null
        await sleep(50)
      }
    }
    await sleep(random.between(2, 25))
  }
  await client?.end().catch(() => {})
}

const titles = ['Chair', 'Table', 'Lamp', 'Sofa']

function statement(random: Random, writer: number): string {
  const next = `version = nextval('versions')`
  const title = `'${random.pick(titles)}'`
  // A few rows that everyone writes, and many.
  const any = random.chance(0.3) ? random.between(0, 5) : random.between(0, products)
  const own = random.between(0, products / writers) * writers + writer
  const otherOwn = random.between(0, products / writers) * writers + writer
  const line = `order_id = ${any % 40} AND line = ${random.between(0, 3)}`
  const ownPost = random.between(0, posts / writers) * writers + writer
  const ownLine = [own % 40, writer + writers * random.between(0, 1)] as const
  // Now and then larger than a page, so that an update that leaves it alone does not have it in the WAL.
  const body = random.chance(0.2) ? `repeat('x', ${random.between(3_000, 12_000)})` : `'${random.between(0, 9)}'`
  return random.pick([
    () => `UPDATE products SET title = ${title}, ${next} WHERE id = ${any}`,
    () => `UPDATE products SET ${next} WHERE id = ${any}`,
    () => `UPDATE products SET body = ${body}, ${next} WHERE id = ${any}`,
    () => `UPDATE products SET views = views + 1 WHERE id = ${any}`,
    () => `UPDATE products SET ${next} WHERE id % 60 = ${any % 60}`,
    () => `UPDATE products SET ${next} WHERE ${random.chance(0.1)}`,
    () => `DELETE FROM products WHERE id = ${own}`,
    () =>
      `INSERT INTO products (id, title, body) VALUES (${own}, ${title}, ${body}) ON CONFLICT (id) DO UPDATE SET ${next}`,
    () =>
      `INSERT INTO products (id, title, body) VALUES (${own}, ${title}, ${body}) ON CONFLICT (id) DO UPDATE SET ${next}`,
    () => `UPDATE products SET id = ${otherOwn}, ${next} WHERE id = ${own}
      AND NOT EXISTS (SELECT FROM products WHERE id = ${otherOwn})`,
    () => `UPDATE sellers SET name = ${title}, ${next} WHERE code = 's${any}'`,
    () => `INSERT INTO sellers (code, name) VALUES ('s${own}', ${title}) ON CONFLICT (code) DO UPDATE SET ${next}`,
    () => `DELETE FROM sellers WHERE code = 's${own}'`,
    () => `UPDATE sellers SET code = 's${otherOwn}', ${next} WHERE code = 's${own}'
      AND NOT EXISTS (SELECT FROM sellers WHERE code = 's${otherOwn}')`,
    () => `UPDATE lines SET note = ${title}, ${next} WHERE ${line}`,
    () => `INSERT INTO lines (order_id, line, note) VALUES (${ownLine}, ${title})
      ON CONFLICT (order_id, line) DO UPDATE SET ${next}`,
    () => `DELETE FROM lines WHERE (order_id, line) = (${ownLine})`,
    () => `UPDATE posts SET title = ${title}, ${next} WHERE id = ${any % posts}`,
    () => `UPDATE posts SET title = ${title}, ${next} WHERE id = ${any % posts}`,
    () => `INSERT INTO posts (id, title) VALUES (${ownPost}, ${title})
      ON CONFLICT (id) DO UPDATE SET title = excluded.title, ${next}`,
    () => `DELETE FROM posts WHERE id = ${ownPost} AND ${random.chance(0.3)}`,
    () => `INSERT INTO unmapped (text) SELECT repeat('y', 200) FROM generate_series(1, 20)`,
  ])()
}
