import { readFileSync } from 'node:fs'
import { silentLogger } from '../src/logger.js'
import { migrate } from '../src/pipeline.js'
import { defineSync } from '../src/sync.js'
import { openStage } from './workload.js'

/** The shape of a shop's products: a uuid key, an index besides, a counter that is not mapped. */
const products = (schema: string): string => `
  CREATE SCHEMA ${schema};
  CREATE TABLE ${schema}.products (
    id uuid PRIMARY KEY, title text NOT NULL, description text, price numeric(12, 2) NOT NULL, currency text NOT NULL,
    tags text[] NOT NULL DEFAULT '{}', attributes jsonb NOT NULL DEFAULT '{}', view_count integer NOT NULL DEFAULT 0,
    seller_id integer NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
  CREATE INDEX ON ${schema}.products (seller_id)`

const insertMany = (schema: string): string => `
  INSERT INTO ${schema}.products (id, title, description, price, currency, tags, attributes, seller_id)
  SELECT md5($1::text || n)::uuid, 'Oak chair number ' || n, repeat('A fine chair, hardly used. ', 6), n % 1000 + 0.99, 'EUR',
         ARRAY['furniture', 'chair'], '{"colour": "brown", "legs": 4}', n % 500
  FROM generate_series(1, $2::integer) AS n`

const schemas = ['plain', 'captured'] as const
type Schema = (typeof schemas)[number]

export interface TriggerCost {
  readonly name: string
  /** Medians. */
  readonly plainUs: number
  readonly capturedUs: number
  /** The median of the ratios of each round. */
  readonly ratio: number
  /** The same of the time that the server's process had on a CPU (Linux): it minds less who else uses the machine. */
  readonly cpuRatio: number | null
}

/**
 * What the triggers cost the writer: the same statements on a table without and on one with them, by turns on one
 * connection, prepared. Ratios within a round, since a shared machine is not equally fast for long.
 */
export async function triggers(options: {
  readonly rounds: number
  readonly bulkRows: number
  readonly singles: number
}): Promise<readonly TriggerCost[]> {
  const { rounds, bulkRows, singles } = options
  const stage = await openStage()
  try {
    for (const schema of schemas) await stage.db.query(products(schema))
    const fields = Object.fromEntries(
      ['title', 'description', 'price', 'currency', 'tags', 'attributes', 'seller_id'].map((name) => [name, true]),
    )
    const { resolved } = defineSync({ tables: { 'captured.products': { namespace: 'products', fields } } } as never)
    await migrate({ resolved, databaseUrl: stage.server.url(), logger: silentLogger })

    const { rows } = await stage.db.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
    const cpuUs = (): number => cpuMicroseconds(rows[0]?.pid ?? 0)
    const times = new Map<string, Record<Schema, number[]>>()
    const cpu = new Map<string, Record<Schema, number[]>>()
    const timed = async (name: string, schema: Schema, text: string, values: unknown[] = []): Promise<Spent> => {
      const [began, cpuBegan] = [process.hrtime.bigint(), cpuUs()]
      await stage.db.query({ name: `${name} ${schema}`, text, values })
      return { us: Number(process.hrtime.bigint() - began) / 1000, cpuUs: cpuUs() - cpuBegan }
    }
    const note = (name: string, schema: Schema, spent: Spent): void => {
      for (const [all, us] of [
        [times, spent.us],
        [cpu, spent.cpuUs],
      ] as const) {
        const noted = all.get(name) ?? { plain: [], captured: [] }
        noted[schema].push(us)
        all.set(name, noted)
      }
    }
    for (let round = 0; round <= rounds; round += 1) {
      const order = round % 2 === 0 ? schemas : [...schemas].reverse()
      // The first round warms up.
      const keep = round > 0
      const bulk = async (name: string, sql: (schema: Schema) => string, values: unknown[] = []): Promise<void> => {
        for (const schema of order) {
          const spent = await timed(name, schema, sql(schema), values)
          if (keep) note(name, schema, spent)
          await stage.db.query(`VACUUM ${schema}.products`)
          // As workers leave it: a table that has its pages already, with room in them.
          await stage.db.query('DELETE FROM safetykit.dirty')
          await stage.db.query('VACUUM safetykit.dirty')
        }
      }
      for (const schema of schemas) await stage.db.query(`TRUNCATE ${schema}.products`)
      const many = bulkRows.toLocaleString('en')
      await bulk(`insert ${many}`, insertMany, [String(round), bulkRows])
      await bulk(`update ${many}, unmapped`, (schema) => `UPDATE ${schema}.products SET view_count = view_count + 1`)
      await bulk(`update ${many}, mapped`, (schema) => `UPDATE ${schema}.products SET price = price + 1`)

      const one: Record<string, Record<Schema, Spent[]>> = {}
      for (let n = 1; n <= singles; n += 1) {
        for (const schema of n % 2 === 0 ? schemas : [...schemas].reverse()) {
          const key = String(10_000_000 * (round + 1) + n)
          const at = `WHERE id = md5($1)::uuid`
          for (const [name, sql] of [
            ['insert 1', insertMany(schema).replace('$1::text || n', '$1::text').replace('$2::integer', '1')],
            ['update 1, mapped', `UPDATE ${schema}.products SET price = price + 1 ${at}`],
            ['update 1, unmapped', `UPDATE ${schema}.products SET view_count = view_count + 1 ${at}`],
          ] as const) {
            const spent = await timed(name, schema, sql, [key])
            one[name] ??= { plain: [], captured: [] }
            one[name][schema].push(spent)
          }
        }
      }
      for (const [name, both] of Object.entries(one)) {
        if (!keep) continue
        for (const schema of schemas) {
          const spent = both[schema]
          note(name, schema, { us: median(spent.map(({ us }) => us)), cpuUs: median(spent.map((s) => s.cpuUs)) })
        }
      }
    }
    const ratio = ({ plain, captured }: Record<Schema, readonly number[]>): number =>
      median(captured.map((us, round) => us / (plain[round] ?? us)))
    return [...times].map(([name, both]) => {
      const used = cpu.get(name)
      return {
        name,
        plainUs: median(both.plain),
        capturedUs: median(both.captured),
        ratio: ratio(both),
        cpuRatio: used === undefined || Number.isNaN(used.plain[0]) ? null : ratio(used),
      }
    })
  } finally {
    await stage.close()
  }
}

interface Spent {
  readonly us: number
  readonly cpuUs: number
}

/** What a process has spent on a CPU; `NaN` where the system does not say. */
function cpuMicroseconds(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000
  } catch {
    return Number.NaN
  }
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0

if (process.argv[1] === import.meta.filename) {
  const [rounds = 9, bulkRows = 10_000, singles = 200] = process.argv.slice(2).map(Number)
  console.log(`${''.padEnd(24)}  plain µs  triggers     ratio       CPU`)
  for (const { name, plainUs, capturedUs, ratio, cpuRatio } of await triggers({ rounds, bulkRows, singles })) {
    const cells = [plainUs.toFixed(0), capturedUs.toFixed(0), ratio.toFixed(2), cpuRatio?.toFixed(2) ?? '-']
    console.log(`${name.padEnd(24)}${cells.map((cell) => cell.padStart(10)).join('')}`)
  }
}
