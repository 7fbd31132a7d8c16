import type { ClientBase } from 'pg'
import { type Check, ok, type Verdict, warning } from './finding.js'
import { DatabaseLine } from './line.js'

export interface PoolerGiven {
  readonly line: DatabaseLine
  readonly databaseUrl: string
  readonly timeoutMs: number
}

const setting = 'safetykit.doctor'
const direct = { do: "Let DATABASE_URL name the server itself rather than a pooler, or the pooler's session mode." }

export const poolerCheck: Check<PoolerGiven> = {
  check: 'pooler',
  why: 'A pooler that gives each transaction another session loses the settings by which values are read the same everywhere.',
  look: async ({ line, databaseUrl, timeoutMs }) => {
    // A server tells its own process id for cancelling; a pooler, which has more clients than sessions, makes one up.
    if (announcedPid(line.client) === (await backendPid(line.client))) return ok('the connection is a direct one')
    const other = await DatabaseLine.open(databaseUrl, timeoutMs)
    try {
      return await lookAtSessions(line.client, other.client)
    } finally {
      await other.close()
    }
  },
}

/** While another client is in a transaction, a pooler by transactions has to give this one another session. */
async function lookAtSessions(client: ClientBase, other: ClientBase): Promise<Verdict> {
  const before = await backendPid(client)
  await client.query(`SET ${setting} = 'kept'`)
  await other.query('BEGIN')
  try {
    const taken = await backendPid(other)
    const after = await backendPid(client)
    const { rows } = await client.query<{ value: string | null }>(`SELECT current_setting('${setting}', true) AS value`)
    const shared = taken === before || after !== before || rows[0]?.value !== 'kept'
    return shared
      ? warning('a pooler is in between that gives each transaction another session', [direct])
      : ok('a pooler is in between that keeps a session for each client')
  } finally {
    await other.query('ROLLBACK')
    await client.query(`RESET ${setting}`).catch(() => {})
  }
}

/** What the server said at the start; `pg` has it and its types leave it out. */
const announcedPid = (client: ClientBase): number =>
  'processID' in client && typeof client.processID === 'number' ? client.processID : 0

async function backendPid(client: ClientBase): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_catalog.pg_backend_pid() AS pid')
  return rows[0]?.pid ?? 0
}
